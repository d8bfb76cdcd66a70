"""A real day: 1,000 deliveries from Olist's orders around three depots, and 200 more customers
who want to be promised a time while those are planned.

Places, weights and sizes are Olist's, each order the sum of its units. What Olist does not tell is
drawn with a fixed seed: the window (two halves of the day, or all of it), and a scatter of some
hundred metres around the point of the postcode. Vans, shifts and service are our assumptions.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Sequence
from math import cos, hypot, radians

from routing import travel
from routing.insertion import cheapest_insertion
from routing.problem import Depot, Place, Plan, Problem, Stop, Vehicle
from supplychain.operations.loading.olist import Olist

from . import data

STOPS, PROMISES = 1_000, 200
SEED = 20261125
#: Where the vans start, and how many.
DEPOTS = {
    "São Paulo": (Place(-23.55, -46.63), 16),
    "Rio de Janeiro": (Place(-22.90, -43.25), 9),
    "Belo Horizonte": (Place(-19.92, -43.94), 4),
}
#: Degrees of latitude, some 40 km: a depot serves who lives within.
NEAR = 0.36
HOUR = 3600
SHIFT = (8 * HOUR, 18 * HOUR)
WINDOWS = (SHIFT, (8 * HOUR, 13 * HOUR), (13 * HOUR, 18 * HOUR))
#: Degrees, one standard deviation, of the scatter.
SCATTER = 0.003
SERVICE_S = 240
#: Of a product that Olist does not weigh or measure: the median of the others.
USUAL_G, USUAL_CM3 = 700.0, 6840.0


def read() -> tuple[list[Stop], list[Stop]]:
    """The day's stops, and those who come later. Raises NoData, UnusableFile."""
    olist = Olist(data.folder() / "olist")
    chance = random.Random(SEED)  # noqa: S311 - a load, not a secret
    loads = _loads(olist)
    points = [(key, at, loads[key]) for key, at in _points(olist) if key in loads]
    chance.shuffle(points)
    stops = [_stop(chance, *point) for point in points[: STOPS + PROMISES]]
    return stops[:STOPS], stops[STOPS:]


def problem(stops: Sequence[Stop]) -> Problem:
    """The stops with depots, vans and the ways between all of them."""
    depots = [Depot(name, place) for name, (place, _) in DEPOTS.items()]
    vans = [_van(name, n) for name, (_, count) in DEPOTS.items() for n in range(count)]
    places = [*(depot.place for depot in depots), *(stop.place for stop in stops)]
    return Problem(tuple(depots), tuple(vans), tuple(stops), travel.travel(places))


def promise_ms(planned: Problem, plan: Plan, later: Sequence[Stop]) -> float:
    """Milliseconds, 99th percentile, from a new customer's address to the time that can be
    promised: the ways to all stops, and the cheapest place in the plan."""
    places = [*(d.place for d in planned.depots), *(s.place for s in planned.stops)]
    provider = travel.Estimate()
    took = []
    for stop in later:
        began = time.perf_counter()
        ways = travel.extended(planned.travel, places, [stop.place], provider)
        wider = Problem(planned.depots, planned.vehicles, (*planned.stops, stop), ways)
        cheapest_insertion(wider, plan, stop)
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took)[int(0.99 * len(took))]


def _van(depot: str, number: int) -> Vehicle:
    return Vehicle(
        key=f"{depot} {number + 1}",
        capacity_kg=160,
        capacity_m3=1.2,
        start_s=SHIFT[0],
        end_s=SHIFT[1],
        start_depot=depot,
        fixed_cost=60,
        cost_per_km=0.8,
        cost_per_hour=15,
    )


def _stop(
    chance: random.Random, key: str, at: tuple[float, float], load: tuple[float, float]
) -> Stop:
    place = Place(at[0] + chance.gauss(0, SCATTER), at[1] + chance.gauss(0, SCATTER))
    return Stop(key, place, *load, service_s=SERVICE_S, windows=(chance.choice(WINDOWS),))


def _points(olist: Olist) -> list[tuple[str, tuple[float, float]]]:
    """Orders near a depot, and where they go."""
    found = []
    for item in olist:
        body = getattr(item, "body", None)
        if body:
            at = body["ship_to"]["latitude"], body["ship_to"]["longitude"]
            if any(_is_near(at, depot) for depot, _ in DEPOTS.values()):
                found.append((str(body["external_id"]), at))
    return found


def _is_near(at: tuple[float, float], depot: Place) -> bool:
    east = (at[1] - depot.longitude) * cos(radians(depot.latitude))
    return hypot(at[0] - depot.latitude, east) <= NEAR


def _loads(olist: Olist) -> dict[str, tuple[float, float]]:
    """kg and m³ by order."""
    sizes = ("length", "height", "width")
    products = {}
    for row in olist.rows("products", "product_id"):
        grams = float(row["product_weight_g"] or 0) or USUAL_G
        cm3 = 1.0
        for size in sizes:
            cm3 *= float(row[f"product_{size}_cm"] or 0)
        products[row["product_id"]] = (grams / 1000, (cm3 or USUAL_CM3) / 1e6)
    loads: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for row in olist.rows("items", "order_id", "product_id"):
        kg, m3 = products.get(row["product_id"], (USUAL_G / 1000, USUAL_CM3 / 1e6))
        had = loads[row["order_id"]]
        loads[row["order_id"]] = (had[0] + kg, had[1] + m3)
    return dict(loads)
