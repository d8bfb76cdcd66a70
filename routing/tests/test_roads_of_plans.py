"""Plans made with a map server's roads, when something changes while one is searched for."""

import pytest

from routing import planning, road
from routing.models import Stop

from .conftest import (
    books_balance,
    cancelled,
    hear,
    make_depot,
    plan,
    reserved,
    told,
)
from .test_travel import Server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(settings):
    found = Server()
    road.roads_of.cache_clear()
    settings.TRAVEL_URL, settings.PLANNING_SOLVE_SECONDS = found.url, 5
    yield found
    found.close()
    road.roads_of.cache_clear()


def places():
    rows = Stop.objects.filter(state=Stop.State.PENDING).order_by("shipment_id")
    return list(rows.values_list("shipment_id", "route_id", "position"))


def test_who_is_cancelled_during_the_search_re_times_nobody_else(server, monkeypatch):
    """The roads that the plan was made with are its roads, also when the server is away by then."""
    depot = make_depot(vehicles=2, hours=23.9)
    hear(*(reserved(n, near=0.05 * n) for n in range(1, 13)))
    assert plan(depot).planned == 12
    before, since = places(), len(told())
    hear(reserved(13, near=0.625))
    search = planning.solve

    def meanwhile(problem, **options):
        found = search(problem, **options | {"seconds": 0})  # it finds nothing better, for once
        hear(cancelled(13))
        server.says = b"ill"
        road.roads_of.cache_clear()  # as in a process that has not asked yet
        return found

    monkeypatch.setattr(planning, "solve", meanwhile)
    run = planning.plan_depot(depot=depot, trigger="burst over")
    assert run and not run.error
    assert "eta_changed" not in told(since=since)
    assert places() == before
    books_balance()
