"""manage.py demo: real orders from the API to delivered, in one process without a server."""

from __future__ import annotations

import fcntl
import logging.config
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.client import CONFLICT
from pathlib import Path
from typing import IO, Any
from wsgiref.simple_server import WSGIRequestHandler

import requests
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.servers.basehttp import ThreadedWSGIServer
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import get_random_string
from rest_framework.authtoken.models import Token
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from notifications.models import Notification
from orders.management.commands.create_channel import Command as CreateChannel
from orders.models import CatalogueItem, Order, Status
from routing.models import Depot, Route, Shipment
from supplychain.embedded import Embedded
from supplychain.events.handling import counters
from supplychain.events.models import OutboxEvent
from supplychain.operations import books, report, scenario
from supplychain.operations.furnish import furnish

FOLDER = settings.BASE_DIR / ".demo"
LOG = FOLDER / "demo.log"
#: Seconds that a stage may take before something is wrong.
STAGE = 300.0
#: Of each hundred stops that many fail at the first try, and of the second tries as well.
FAILING = 3
#: How long orders may go unconfirmed: those that will be confirmed, and those that won't, which a
#: slow machine must have accepted by then.
PATIENT, IMPATIENT = timedelta(hours=1), timedelta(seconds=15)
#: Orders that come in for who looks at the pages.
WORK_LEFT = 90


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """The progress bars have the terminal."""


class Command(BaseCommand):
    help = "Run real orders from the API to delivered on SQLite and an in-process broker."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--orders", type=int, default=scenario.ORDERS)
        parser.add_argument("--serve", action="store_true", help="keep serving the pages")
        parser.add_argument("--port", type=int, default=8000, help="another one if it is taken")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.EMBEDDED or connection.vendor != "sqlite":
            raise CommandError(
                "The demo runs embedded. Type `make demo`, or unset DATABASE_URL and "
                "CELERY_BROKER_URL; the real thing is `make up`."
            )
        if not 1 <= options["orders"] <= 20_000:
            raise CommandError("--orders takes 1 to 20,000.")
        self.console = Console()
        held = self._alone()
        _log_to(LOG)
        settings.EXPIRY_GRACE = 1.0  # nobody here is late
        self._fresh_database()
        server = _serve(options["port"])
        address = f"http://127.0.0.1:{server.server_port}"
        password = _admin()
        with Embedded() as system:
            journey = _Journey(self.console, system, address, options["orders"])
            found = journey.run()
            if options["serve"]:
                journey.leave_work()
            self._tell(address, password)
            if options["serve"]:
                self._wait(system)
        server.shutdown()
        held.close()
        if found:
            raise CommandError(f"Something is off ({LOG} says more):\n  " + "\n  ".join(found))
        self.console.print("[green]Every order has come to a right end and the books balance.")

    def _alone(self) -> IO[str]:
        """Two demos would share one file; the lock ends with the process, however it ends."""
        FOLDER.mkdir(exist_ok=True)
        lock = (FOLDER / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError("A demo is running here already; end it first.") from None
        return lock

    def _fresh_database(self) -> None:
        """Each demo begins with an empty world. Only its own file is ever thrown away."""
        path = Path(settings.DATABASES["default"]["NAME"])
        if path.parent == FOLDER:
            for old in FOLDER.glob(f"{path.name}*"):
                old.unlink()
        call_command("migrate", verbosity=0)
        settings.STATIC_ROOT.mkdir(exist_ok=True)  # else the web server warns
        if Order.objects.exists() or OutboxEvent.objects.exists():
            raise CommandError(f"{path} holds earlier data. `make demo` uses a file of its own.")

    def _tell(self, address: str, password: str) -> None:
        self.console.print(
            f"\n[bold]Pages[/] (`make demo ARGS=--serve` keeps them up, with {WORK_LEFT} "
            "more orders to dispatch)\n"
            f"  admin      {address}/admin/   user admin, password {password}\n"
            f"  plan       {address}/admin/plan/   the routes on a map\n"
            f"  driver     {address}/drive/   for a phone\n"
            f"  API docs   {address}/api/docs/\n"
            f"  figures    {address}/api/v1/analytics/summary/ (once logged in)\n"
            f"  health     {address}/readyz\n"
        )

    def _wait(self, system: Embedded) -> None:
        self.console.print("Serving; Ctrl-C ends it.")
        try:
            while True:
                system.check()
                threading.Event().wait(1)
        except KeyboardInterrupt:
            self.console.print("Ending.")


def _log_to(path: Path) -> None:
    """The progress bars have the terminal. In the settings, since Celery's workers configure
    logging from there once more."""
    path.unlink(missing_ok=True)
    handler = {"class": "logging.FileHandler", "filename": str(path), "formatter": "line"}
    configured: dict[str, Any] = settings.LOGGING
    configured["handlers"]["console"] = handler
    logging.config.dictConfig(configured)


def _serve(port: int) -> ThreadedWSGIServer:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            port = 0
    try:
        server = ThreadedWSGIServer(("127.0.0.1", port), _Quiet)
    except OSError:
        server = ThreadedWSGIServer(("127.0.0.1", 0), _Quiet)
    server.daemon_threads = True
    server.set_app(get_wsgi_application())
    threading.Thread(target=server.serve_forever, name="web", daemon=True).start()
    return server


def _admin() -> str:
    password = get_random_string(12)
    get_user_model().objects.create_superuser("admin", "admin@example.com", password)
    return password


class _Journey:
    """The demo's stages, each waiting for the events to have done their work."""

    def __init__(self, console: Console, system: Embedded, address: str, orders: int) -> None:
        self._console, self._system, self._api = console, system, f"{address}/api/v1"
        self._world = scenario.build(orders)
        self._ids: dict[str, str] = {}
        columns = [TextColumn("{task.description:<38}"), BarColumn(), MofNCompleteColumn()]
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console)

    def run(self) -> list[str]:
        """Gives what is off with the books; [] is right."""
        began = time.monotonic()
        with self._progress:
            self._set_up()
            self._place()
            self._confirm_some()
            self._cancel_some()
            self._take_some_back()
            self._expire()
            self._deliver("Shipments planned", failing=FAILING)
            self._receive()
            self._deliver("Backordered shipments planned", failing=0)
            self._watch_falling("Customers told", Notification.objects.filter(state="pending"))
            self._settle()
        seconds = time.monotonic() - began
        report.show(self._console, seconds, counters["retried"])
        return books.faults()

    def leave_work(self) -> None:
        """For who looks at the pages: routes that have not left, to be moved, frozen, driven."""
        more = scenario.more(self._world, WORK_LEFT)
        with self._progress:
            self._book_in(more.stock, "for more orders")
            self._accepted("More orders, for you", more.orders)
            self._wait_for_plans("  planned")

    # --- stages ---------------------------------------------------------------------------

    def _set_up(self) -> None:
        furnish(self._world, actor="demo")
        count = len(self._world.products)
        self._watch("Products known to orders", CatalogueItem.objects.count, count)
        self._watch("Depots known to routing", Depot.objects.count, len(scenario.WAREHOUSES))

    def _place(self) -> None:
        self._ids = self._accepted("Orders accepted by the API", self._world.orders)
        allocated = Order.objects.exclude(status=Status.PLACED, allocation_sequence=0)
        self._watch("Orders allocated", allocated.count, len(self._ids))

    def _accepted(self, what: str, orders: list[dict[str, Any]]) -> dict[str, str]:
        """Their keys by the channel's."""
        token = CreateChannel.channel_token("demo", "Demo shop")
        task = self._progress.add_task(what, total=len(orders))

        def post(body: dict[str, Any]) -> tuple[str, str]:
            body = {**body, **self._confirm_by(body["external_id"])}
            answer = self._call("post", "orders/", token, json=body)
            self._progress.advance(task)
            return body["external_id"], answer["id"]

        return dict(_in_parallel(post, orders))

    def _confirm_by(self, external_id: str) -> dict[str, str]:
        if external_id in self._world.confirmed:
            return {"confirm_by": (timezone.now() + PATIENT).isoformat()}
        if external_id in self._world.forgotten:
            return {"confirm_by": (timezone.now() + IMPATIENT).isoformat()}
        return {}

    def _confirm_some(self) -> None:
        token = CreateChannel.channel_token("demo", "Demo shop")
        for external_id in sorted(self._world.confirmed):
            self._call("post", f"orders/{self._ids[external_id]}/confirm/", token)
        sure = Order.objects.filter(confirmed_at__isnull=False).exclude(status=Status.PLACED)
        self._watch("Held orders confirmed", sure.count, len(self._world.confirmed))

    def _cancel_some(self) -> None:
        token = CreateChannel.channel_token("demo", "Demo shop")
        for external_id in sorted(self._world.cancelled):
            path = f"orders/{self._ids[external_id]}/cancel/"
            self._call("post", path, token, json={"reason": "changed my mind"})
        gone = self._orders(self._world.cancelled).filter(status=Status.CANCELLED)
        self._watch("Orders cancelled", gone.count, len(self._world.cancelled))

    def _take_some_back(self) -> None:
        token = CreateChannel.channel_token("demo", "Demo shop")
        for external_id, units in sorted(self._world.taken_back.items()):
            lines = [{"sku": sku, "quantity": count} for sku, count in units.items()]
            path = f"orders/{self._ids[external_id]}/cancel/"
            self._call("post", path, token, json={"reason": "one too many", "lines": lines})
        self._settle()

    def _expire(self) -> None:
        gone = self._orders(self._world.forgotten).filter(status=Status.CANCELLED)
        self._watch("Unconfirmed orders expired", gone.count, len(self._world.forgotten))

    def _orders(self, external_ids: set[str]) -> QuerySet[Order]:
        return Order.objects.filter(pk__in=[self._ids[name] for name in external_ids])

    def _deliver(self, waiting_for: str, failing: int) -> None:
        """Dispatch what is planned and drive it, until nothing is open any more."""
        staff = Token.objects.get_or_create(user=get_user_model().objects.get(username="admin"))
        token = staff[0].key
        for round_ in range(10):
            self._wait_for_plans(waiting_for)
            routes = list(Route.objects.filter(state=Route.State.PLANNED))
            if not routes:
                return
            task = self._progress.add_task("  driven, in routes", total=len(routes))
            for number, route in enumerate(routes):
                self._drive(str(route.pk), token, failing if round_ < 2 else 0, number)
                self._progress.advance(task)
            self._settle()
            waiting_for = "Failed deliveries planned again"

    def _drive(self, route: str, token: str, failing: int, number: int) -> None:
        """A route that was withdrawn since it was looked up is refused, and no harm done."""
        left = self._call("post", f"routes/{route}/dispatch/", token, refusable=True)
        for stop in left.get("stops", ()):
            if stop["state"] != "pending":
                continue
            if (number * 7 + stop["position"]) % 100 < failing:
                path, body = f"stops/{stop['id']}/fail/", {"reason": "nobody at home"}
            else:
                path, body = f"stops/{stop['id']}/deliver/", {}
            self._call("post", path, token, json=body)

    def _receive(self) -> None:
        """The missing stock comes in; backorders are filled."""
        self._book_in(self._world.late_stock, "late delivery")

    def _book_in(self, stock: dict[str, dict[str, int]], reference: str) -> None:
        """Through the API."""
        user = get_user_model().objects.get(username="admin")
        token = Token.objects.get_or_create(user=user)[0].key
        for code, units in stock.items():
            lines = [{"sku": sku, "quantity": n} for sku, n in sorted(units.items())]
            if lines:
                body = {"warehouse": code, "reference": reference, "lines": lines}
                self._call("post", "receipts/", token, json=body)
        self._settle()

    # --- waiting --------------------------------------------------------------------------

    def _wait_for_plans(self, what: str) -> None:
        """Until every open shipment is planned, or the planner has said why it can't be."""
        self._settle()
        opened = Shipment.objects.filter(state=Shipment.State.OPEN, unplannable_reason="")
        self._watch_falling(what, opened)
        self._settle()

    def _settle(self) -> None:
        """Until no event waits anywhere."""
        self._until(
            lambda: not self._system.messages_waiting() and books.is_quiet(), "events to be handled"
        )

    def _watch(self, what: str, count: Callable[[], int], total: int) -> None:
        task = self._progress.add_task(what, total=total)

        def reached() -> bool:
            done = count()
            self._progress.update(task, completed=done)
            return done >= total

        self._until(reached, what)

    def _watch_falling(self, what: str, waiting: QuerySet[Any]) -> None:
        if total := waiting.count():
            self._watch(what, lambda: total - waiting.count(), total)

    def _until(self, done: Callable[[], bool], what: str) -> None:
        if not self._system.wait_until(done, STAGE):
            raise CommandError(f"Waited {STAGE:.0f} s in vain for {what}; see {LOG}.")

    def _call(
        self, method: str, path: str, token: str, *, refusable: bool = False, **options: Any
    ) -> dict[str, Any]:
        """``refusable``: what can't be done (any more) gives {}."""
        headers = {"Authorization": f"Token {token}"}
        answer = requests.request(
            method, f"{self._api}/{path}", headers=headers, timeout=60, **options
        )
        if refusable and answer.status_code == CONFLICT:
            return {}
        if answer.status_code >= 400:
            raise CommandError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        found: dict[str, Any] = answer.json()
        return found


def _in_parallel(
    work: Callable[[dict[str, Any]], tuple[str, str]], items: Iterable[dict[str, Any]]
) -> list[tuple[str, str]]:
    with ThreadPoolExecutor(4, "channel") as pool:
        return list(pool.map(work, items))
