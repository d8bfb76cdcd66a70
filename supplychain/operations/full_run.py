"""Promise: every order of an Olist folder goes the whole way through the real processes, from
intake to handed over, and the figures are those of what really happened.

The processes are those of `make up` without web and Flower. What people do at work is done
here: routes leave and end as soon as they are planned, of the stops every fortieth fails once,
and what was not in stock comes in when the rest has been delivered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from django.db.models import Count
from kombu import Connection
from rich.console import Console
from rich.table import Table

from audit.models import StoredEvent
from inventory.models import Backorder
from orders.models import CatalogueItem, Channel, Order, Status
from routing.driving import RouteNotPlanned, complete_route, dispatch_route
from routing.models import Depot, PlanRun, Route, Shipment, Stop
from routing.planning import plan_depot
from routing.services import set_fleet
from supplychain.events import topology
from supplychain.events.models import DeadLetter, InboxEntry
from supplychain.operations import books
from supplychain.operations.children import Children
from supplychain.operations.loading import olist_world
from supplychain.operations.loading.loader import Loader, Tally
from supplychain.operations.loading.olist import Olist
from supplychain.operations.loading.targets import InProcess

#: Seconds that a wait may take before something is wrong, and between two looks.
PATIENCE, LOOK_EVERY = 600.0, 0.3
#: One stop in so many fails at its first try.
FAILING = 40
#: Olist's customers live all over Brazil: a tour from São Paulo to Manaus and back takes days.
FLEET = {"vehicles": 60, "capacity_kg": 12_000.0, "capacity_m3": 60.0, "shift_hours": 240.0}
#: Settings of the processes: planning waits for the burst to end, and gets time to search;
#: mails are made and thrown away.
VARIABLES = {
    "PLANNING_PATIENCE": "60",
    "PLANNING_QUIET": "3",
    "PLANNING_SOLVE_SECONDS": "20",
    "EMAIL_URL": "dummymail://",
}


@dataclass
class Times:
    """Seconds by stage, in the order in which they ended."""

    began: float = field(default_factory=time.monotonic)
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.stages[name] = self.stages.get(name, 0.0) + time.monotonic() - began

    @property
    def total(self) -> float:
        return time.monotonic() - self.began


class FullRun:
    """``run()`` gives what is off with the books; [] is right."""

    def __init__(self, console: Console, children: Children, folder: Path, olist: Olist) -> None:
        self._console, self._children = console, children
        self._folder, self._olist = folder, olist
        self.times = Times()
        self.tally = Tally()
        self.unplannable: dict[str, int] = {}
        self._before = (0, 0)  # events published and handled before the first order

    def run(self, channel: Channel) -> list[str]:
        with self._stage("start the processes"):
            self._start()
        with self._stage("products, warehouses, stock"):
            self._prepare()
        self._before = StoredEvent.objects.count(), InboxEntry.objects.count()
        self.times.began = time.monotonic()
        self._place(channel)
        with self._stage("deliver"):
            self._deliver()
        with self._stage("missing stock in, deliver the rest"):
            olist_world.receive_rest(self._olist)
            self._deliver()
        with self._stage("check the books"):
            return books.faults()

    def tell(self) -> None:
        seconds = sum(s for name, s in self.times.stages.items() if name not in _NOT_THE_RUN)
        self._console.print(
            _times(self.times), _figures(self.tally, seconds, self._before), _statuses()
        )
        if self.unplannable:
            table = Table("shipments", "reason", title="Could not be planned")
            for reason, count in sorted(self.unplannable.items()):
                table.add_row(str(count), reason)
            self._console.print(table)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self._console.print(f"— {name} …")
        with self.times.stage(name):
            yield

    # --- stages ---------------------------------------------------------------------------

    def _start(self) -> None:
        self._children.relay()
        for queue in topology.work_queues():
            self._children.worker(queue)
        self._children.start("deadletters", "manage.py", "deadletters", "ingest", ready="Watching")
        schedule = str(self._folder / "beat")
        beat = ["-m", "celery", "-A", "supplychain", "beat", "-s", schedule, "-l", "INFO"]
        self._children.start("beat", *beat, ready="beat: Starting")

    def _prepare(self) -> None:
        counts = olist_world.prepare(self._olist)
        self._until(
            lambda: CatalogueItem.objects.count() >= counts["products"], "orders to know products"
        )
        self._until(
            lambda: Depot.objects.count() >= counts["warehouses"], "routing to know the depots"
        )
        for depot in Depot.objects.all():
            set_fleet(depot=depot, **FLEET)  # type: ignore[arg-type]
        self._settle()

    def _place(self, channel: Channel) -> None:
        began = time.monotonic()
        with self._stage("load the orders"):
            Loader(InProcess(channel), self.tally).run(self._olist)
        placed = Order.objects.filter(status=Status.PLACED)
        with self._stage("reserve (beyond loading)"):
            self._until(lambda: not placed.exists(), "orders to be reserved")
        with self._stage("plan (beyond reserving)"):
            self._await_plans()
        self.times.stages["placed → all planned"] = time.monotonic() - began

    def _deliver(self) -> None:
        """Until nothing is on its way and nothing more can be planned."""
        while True:
            self._await_plans()
            planned = Route.objects.filter(state=Route.State.PLANNED)
            routes = list(planned.values_list("pk", flat=True))
            for route in routes:
                _drive(route)
            if not routes and not self._plan_again():
                return

    def _plan_again(self) -> bool:
        """What had no tour before may have one now that vehicles are back. As `manage.py plan`."""
        left = Shipment.objects.filter(state=Shipment.State.OPEN)
        runs = [plan_depot(depot=d) for d in Depot.objects.filter(shipments__in=left).distinct()]
        self._settle()
        reasons = left.order_by().values_list("unplannable_reason").annotate(Count("pk"))
        self.unplannable = dict(reasons)
        return any(run is None or run.planned for run in runs)

    # --- waiting --------------------------------------------------------------------------

    def _await_plans(self) -> None:
        """Until each open shipment is in a plan, or the planner has said why not."""
        self._settle()
        fresh = Shipment.objects.filter(state=Shipment.State.OPEN, unplannable_reason="")
        self._until(lambda: not fresh.exists(), "shipments to be planned")
        self._settle()

    def _settle(self) -> None:
        self._until(books.is_quiet, "events to be handled")

    def _until(self, done: Callable[[], bool], what: str) -> None:
        """Looks rarely: these are questions to large tables that the workers are busy with."""
        next_look = 0.0

        def looked() -> bool:
            nonlocal next_look
            if time.monotonic() < next_look:
                return False
            next_look = time.monotonic() + LOOK_EVERY
            return done()

        self._children.wait_until(looked, PATIENCE, what)


def _drive(route_id: UUID) -> None:
    """The vehicle leaves and comes back; some stops fail at the first try. A route that was
    withdrawn since it was looked up is none: what it carried is planned elsewhere."""
    try:
        route = dispatch_route(route_id=route_id)
    except RouteNotPlanned:
        return
    if route.state != Route.State.DISPATCHED:
        return
    first = route.stops.filter(state=Stop.State.PENDING, shipment__attempts=0)
    failing = list(first.values_list("shipment_id", flat=True))[FAILING - 1 :: FAILING]
    complete_route(route_id=route_id, failures=dict.fromkeys(failing, "nobody at home"))


def declare(url: str) -> None:
    with Connection(url, connect_timeout=10) as connection:
        topology.declare(connection)


# --- what it tells ------------------------------------------------------------------------

_NOT_THE_RUN = {
    "start the processes",
    "products, warehouses, stock",
    "placed → all planned",
    "check the books",
}


def _times(times: Times) -> Table:
    table = Table("stage", "seconds", title="Times")
    for name, seconds in times.stages.items():
        table.add_row(name, f"{seconds:.1f}")
    table.add_row("total from the first order", f"{times.total:.1f}", style="bold")
    return table


def _figures(tally: Tally, seconds: float, before: tuple[int, int]) -> Table:
    """Events and seconds from the first order on; products and first stock don't count."""
    events = StoredEvent.objects.count() - before[0]
    handled = InboxEntry.objects.count() - before[1]
    seconds = max(seconds, 0.001)
    dead = DeadLetter.objects.count()
    table = Table("figure", "value", title="The run")
    for name, value in {
        "orders": f"{tally.created:,} placed, {tally.refused:,} refused",
        "events": f"{events:,} published, {handled:,} handled",
        "per second": f"{events / seconds:,.0f} published, {handled / seconds:,.0f} handled",
        "plans": f"{PlanRun.objects.count()} runs, {Route.objects.count()} routes, "
        f"{Stop.objects.count():,} stops",
        "failed plans": str(PlanRun.objects.filter(state=PlanRun.State.FAILED).count()),
        "still on backorder": str(Backorder.objects.count()),
        "dead letters": str(dead),
    }.items():
        table.add_row(name, value)
    return table


def _statuses() -> Table:
    table = Table("status", "orders", title="Orders")
    for status, count in Order.objects.order_by().values_list("status").annotate(Count("pk")):
        table.add_row(str(status), f"{count:,}")
    return table
