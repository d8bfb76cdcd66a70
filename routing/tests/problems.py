"""Problems for the tests of planner and validator."""

from uuid import UUID

from hypothesis import strategies as st

from routing.problem import Break, Depot, Place, Problem, Stop, Vehicle
from routing.travel import travel

HOUR = 3600
YORK = Place(53.96, -1.08)
DEPOT = Depot("york", YORK)
LEEDS = Depot("leeds", Place(53.80, -1.55))


def van(key=1, kg=1000.0, m3=8.0, start=8 * HOUR, end=18 * HOUR, **more):
    return Vehicle(key, kg, m3, start, end, **more)


def stop(number, north=0.01, east=0.0, kg=5.0, m3=0.01, **more):
    place = Place(YORK.latitude + north, YORK.longitude + east)
    return Stop(UUID(int=number), place, kg, m3, **more)


VAN = van()


def problem(*stops, vehicles=(VAN,), depots=(DEPOT,)):
    places = [*(depot.place for depot in depots), *(each.place for each in stops)]
    return Problem(tuple(depots), tuple(vehicles), tuple(stops), travel(places))


def served(plan):
    return {visit.stop.key for route in plan.routes for visit in route.visits}


_windows = st.lists(
    st.tuples(st.integers(6, 20), st.integers(-1, 6)).map(
        lambda w: (w[0] * HOUR, (w[0] + w[1]) * HOUR)
    ),
    max_size=3,
).map(tuple)
_skills = st.frozensets(st.sampled_from(["cold", "lift"]), max_size=1)
_stops = st.builds(
    stop,
    st.integers(1, 10**6),
    north=st.floats(-0.6, 0.6) | st.sampled_from([0.1, 0.1, 40.0, float("nan")]),
    east=st.floats(-0.9, 0.9),
    kg=st.floats(0, 400),
    m3=st.floats(0, 4),
    items=st.integers(0, 5),
    windows=_windows,
    service_s=st.integers(0, 1800),
    priority=st.integers(0, 9),
    skills=_skills,
    release_s=st.sampled_from([0, 0, 0, 9 * HOUR, 12 * HOUR]),
    prize=st.none() | st.floats(0, 60),
)
_breaks = st.sampled_from(
    [
        (),
        (),
        (Break(11 * HOUR, 13 * HOUR, 1800),),
        (Break(10 * HOUR, 11 * HOUR, 900), Break(12 * HOUR, 14 * HOUR, 2700)),
    ]
)


def _vans(breaks):
    depots = st.sampled_from([None, "york", "leeds"])
    return st.builds(
        van,
        st.integers(1, 10**6),
        kg=st.floats(0.5, 900),
        m3=st.floats(0.05, 9) | st.just(float("inf")),
        start=st.integers(6 * HOUR, 12 * HOUR),
        end=st.integers(13 * HOUR, 22 * HOUR),
        capacity_items=st.just(float("inf")) | st.integers(0, 20),
        start_depot=depots,
        end_depot=depots,
        fixed_cost=st.sampled_from([0.0, 30.0]),
        cost_per_km=st.floats(0, 2),
        cost_per_hour=st.sampled_from([0.0, 20.0]),
        skills=_skills | st.just(frozenset(["cold", "lift"])),
        max_stops=st.none() | st.integers(0, 6),
        breaks=breaks,
    )


def problems(breaks=_breaks, most=14):
    """Anything a problem may be, what makes single stops impossible included."""
    return st.builds(
        lambda stops, vehicles: problem(*stops, vehicles=vehicles, depots=(DEPOT, LEEDS)),
        st.lists(_stops, max_size=most, unique_by=lambda s: s.key),
        st.lists(_vans(breaks), max_size=4, unique_by=lambda v: v.key),
    )


NO_BREAKS = st.just(())
