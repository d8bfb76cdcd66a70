"""The house rules (docs/architecture.md), read out of the source.

Each rule is a function from a module to what is wrong in it, so that every rule is also tried
on a module that breaks it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.apps import apps

from conftest import ROOT
from supplychain.events.base import event_classes
from supplychain.events.consumers import Consumer, consumers

APPS = ("orders", "inventory", "routing", "notifications", "audit", "analytics")
#: Modules that decide nothing and so write nothing: they call services.
THIN = re.compile(
    r".*/(admin|views|urls|consumers|tasks|selectors|serializers|forms|events)\.py"
    r"|.*/management/commands/\w+\.py"
)
#: What has no promise to keep: the package's list of names, and what Django asks for.
WITHOUT_PROMISE = {"__init__.py", "apps.py"}


@dataclass(frozen=True)
class Module:
    """A source file; ``path`` from the project's root, with slashes."""

    path: str
    source: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def top(self) -> str:
        return self.path.partition("/")[0]

    @property
    def package(self) -> list[str]:
        return self.path.removesuffix(".py").split("/")[:-1]

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and absolute name of everything imported, wherever in the file it stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                parent = self.package[: len(self.package) + 1 - node.level] if node.level else []
                module = ".".join([*parent, *([node.module] if node.module else [])])
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)

    def calls(self) -> Iterator[tuple[ast.Call, str, ast.expr | None]]:
        """Every call: the last part of the called name, and what it is called on."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Attribute):
                    yield node, node.func.attr, node.func.value
                elif isinstance(node.func, ast.Name):
                    yield node, node.func.id, None


Rule = Callable[[Module], Iterator[str]]


def sources(*folders: str) -> list[Module]:
    found = []
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if "/tests/" not in path and "/migrations/" not in path:
                found.append(Module(path, file.read_text()))
    return found


# --- who knows whom -----------------------------------------------------------------------


def knows_of_others_only_their_events(module: Module) -> Iterator[str]:
    for line, name in module.imports():
        app, *rest = name.split(".")
        if app in APPS and app != module.top and rest[:1] != ["events"]:
            yield f"{module.path}:{line}: imports {name}; of {app} only its events are public"
        if name.startswith("supplychain.operations"):
            yield f"{module.path}:{line}: imports {name}, which is built on top of it"


def refers_to_no_model_of_others(module: Module) -> Iterator[str]:
    """A foreign key or get_model() by name ties apps together as an import would."""
    models = {f"{m._meta.app_label}.{m.__name__}" for m in apps.get_models()}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and node.value in models:
            app = str(node.value).partition(".")[0]
            if app in APPS and app != module.top:
                yield f"{module.path}:{node.lineno}: refers to {node.value}, a model of {app}"


def knows_no_app(module: Module) -> Iterator[str]:
    for line, name in module.imports():
        if name.partition(".")[0] in APPS or name.startswith("supplychain.operations"):
            yield f"{module.path}:{line}: imports {name}; it serves all apps and knows none"


# --- how things happen --------------------------------------------------------------------


def starts_no_task(module: Module) -> Iterator[str]:
    """What one does is told as an event. (A Retry policy, in capitals, has a delay(), too.)"""
    for call, name, on in module.calls():
        policy = isinstance(on, ast.Name) and on.id.isupper()
        if name in {"apply_async", "send_task"} or (name == "delay" and not policy):
            yield f"{module.path}:{call.lineno}: calls {name}(); emit an event instead"


def waits_for_no_commit(module: Module) -> Iterator[str]:
    for call, name, _ in module.calls():
        if name == "on_commit":
            yield f"{module.path}:{call.lineno}: on_commit() is lost in a crash; emit an event"


def listens_to_no_model_signal(module: Module) -> Iterator[str]:
    """That the tables are made (post_migrate) is no change of a row."""
    for line, name in module.imports():
        if name.startswith("django.db.models.signals") and not name.endswith(".post_migrate"):
            yield f"{module.path}:{line}: imports {name}; changes go through services"


def overrides_no_save(module: Module) -> Iterator[str]:
    if not re.fullmatch(r".*/models(/\w+)?\.py", module.path):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name == "save":
                    yield f"{module.path}:{inner.lineno}: {node.name} overrides save()"


WRITES = {
    *("save", "bulk_create", "bulk_update", "get_or_create", "update_or_create", "force_insert"),
    *("select_for_update", "emit", "emit_all"),
}
#: Names that other things have, too: writes when they are called on rows.
WRITES_ON_ROWS = {"create", "update", "delete"}


def leaves_writing_to_services(module: Module) -> Iterator[str]:
    if not THIN.fullmatch(module.path):
        return
    for call, name, on in module.calls():
        on_rows = on is not None and re.search(r"objects|queryset", ast.unparse(on))
        if name in WRITES or (name in WRITES_ON_ROWS and on_rows):
            yield f"{module.path}:{call.lineno}: calls {name}(); that is a service's business"


def consumers_only_call_a_service(module: Module) -> Iterator[str]:
    """A docstring, perhaps a line or two that take out what the service asks for, the call."""
    if not module.path.endswith("/consumers.py"):
        return
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef):
            first, *prepared = node.body
            documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            last = prepared.pop() if prepared else None
            calls = isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)
            plain = len(prepared) <= 2 and all(isinstance(line, ast.Assign) for line in prepared)
            if not (documented and calls and plain):
                yield f"{module.path}:{node.lineno}: {node.name} is more than a call of a service"


def opens_with_its_promise(module: Module) -> Iterator[str]:
    if Path(module.path).name in WITHOUT_PROMISE or module.package != ["supplychain", "events"]:
        return
    if not (ast.get_docstring(module.tree) or "").startswith("Promise:"):
        yield f"{module.path}:1: does not open with the promise it keeps"


# --- the house keeps them -----------------------------------------------------------------

IN_APPS: list[Rule] = [
    knows_of_others_only_their_events,
    refers_to_no_model_of_others,
    starts_no_task,
    waits_for_no_commit,
    listens_to_no_model_signal,
    overrides_no_save,
    leaves_writing_to_services,
    consumers_only_call_a_service,
]
IN_EVENTS: list[Rule] = [knows_no_app, opens_with_its_promise, refers_to_no_model_of_others]


def broken(rules: list[Rule], modules: list[Module]) -> list[str]:
    return [fault for module in modules for rule in rules for fault in rule(module)]


@pytest.mark.parametrize("app", APPS)
def test_an_app_keeps_the_rules(app: str) -> None:
    modules = sources(app)
    assert len(modules) > 5
    assert broken(IN_APPS, modules) == []


def test_the_event_machinery_keeps_its_rules() -> None:
    assert broken(IN_EVENTS, sources("supplychain/events")) == []


def test_only_operations_looks_into_the_apps() -> None:
    modules = [m for m in sources("supplychain") if m.package[:2] != ["supplychain", "operations"]]
    assert len(modules) > 30
    assert broken([knows_no_app], modules) == []


def test_every_app_is_looked_at() -> None:
    ours = {c.name for c in apps.get_app_configs() if Path(c.path).parent == ROOT}
    assert ours == set(APPS)


# --- and each can be broken ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "path", "source", "finding"),
    [
        (
            knows_of_others_only_their_events,
            "orders/services.py",
            "def f():\n    from inventory.models import StockLevel",
            "orders/services.py:2: imports inventory.models.StockLevel",
        ),
        (
            knows_of_others_only_their_events,
            "orders/services.py",
            "from inventory import selectors",
            "imports inventory.selectors",
        ),
        (
            knows_of_others_only_their_events,
            "orders/services.py",
            "import routing",
            "of routing only its events",
        ),
        (
            knows_of_others_only_their_events,
            "orders/management/commands/x.py",
            "from ....inventory.models import X",
            "imports inventory.models.X",
        ),
        (
            knows_of_others_only_their_events,
            "orders/services.py",
            "from supplychain.operations.books import faults",
            "built on top",
        ),
        (
            refers_to_no_model_of_others,
            "orders/models.py",
            'stock = models.ForeignKey("inventory.StockLevel")',
            "a model of inventory",
        ),
        (knows_no_app, "supplychain/events/relay.py", "from audit import models", "knows none"),
        (
            knows_no_app,
            "supplychain/health.py",
            "from .operations import books",
            "imports supplychain.operations.books",
        ),
        (starts_no_task, "orders/services.py", "send.delay(1)", "calls delay()"),
        (starts_no_task, "orders/services.py", "tasks.send.apply_async()", "calls apply_async()"),
        (starts_no_task, "orders/services.py", "app.send_task('x')", "calls send_task()"),
        (
            waits_for_no_commit,
            "orders/services.py",
            "transaction.on_commit(f)",
            "lost in a crash",
        ),
        (
            listens_to_no_model_signal,
            "orders/apps.py",
            "from django.db.models.signals import post_save",
            "signals.post_save",
        ),
        (
            overrides_no_save,
            "orders/models.py",
            "class Order(Aggregate):\n    def save(self): ...",
            "Order overrides save()",
        ),
        (
            leaves_writing_to_services,
            "orders/views.py",
            "Order.objects.filter(pk=1).update(status='x')",
            "calls update()",
        ),
        (leaves_writing_to_services, "orders/admin.py", "order.save()", "calls save()"),
        (
            leaves_writing_to_services,
            "orders/management/commands/x.py",
            "emit(OrderPlaced(), of=order)",
            "calls emit()",
        ),
        (
            consumers_only_call_a_service,
            "orders/consumers.py",
            "def f(e):\n    'x'\n    if e:\n        g(e)",
            "f is more than a call",
        ),
        (
            consumers_only_call_a_service,
            "orders/consumers.py",
            "def f(e):\n    g(e)",
            "f is more than a call",
        ),
        (
            opens_with_its_promise,
            "supplychain/events/relay.py",
            '"""Publishes."""',
            "does not open with the promise",
        ),
    ],
)
def test_a_module_that_breaks_a_rule_is_found(
    rule: Rule, path: str, source: str, finding: str
) -> None:
    faults = list(rule(Module(path, source)))
    assert len(faults) == 1
    assert finding in faults[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("orders/consumers.py", "from inventory.events import StockReserved"),
        ("orders/consumers.py", "from inventory import events as told"),
        ("orders/services.py", "from .models import Order\nfrom . import events"),
        ("orders/services.py", "with transaction.atomic():\n    order.save()"),
        ("orders/admin.py", "headers.update(x=1)\ncontext.delete('x')"),
        ("notifications/sending.py", "BACK_OFF.delay(3)"),
    ],
)
def test_what_is_allowed_is_not_found(path: str, source: str) -> None:
    assert broken(IN_APPS, [Module(path, source)]) == []


# --- declarations -------------------------------------------------------------------------


def ours() -> list[Consumer]:
    return [declared for declared in consumers() if declared.queue in APPS]


def test_every_consumer_stands_in_the_app_of_its_queue() -> None:
    assert len(ours()) > 10
    for declared in ours():
        assert declared.function.__module__ == f"{declared.queue}.consumers"


def test_every_event_stands_in_the_app_that_tells_it_and_says_what_it_means() -> None:
    told = [event for event in event_classes() if event.producer in APPS]
    assert len(told) > 20
    for event in told:
        assert event.__module__ == f"{event.producer}.events"
        assert event.__doc__, f"{event.event_type} has no docstring for the catalogue"


def untested(declared: list[Consumer], tests: dict[str, str]) -> list[str]:
    """Consumers that no test file names in full beside a test with "twice" in its name; an
    app's only consumer, and a default argument in its conftest, need no naming."""
    queues, missing = [consumer.queue for consumer in declared], []
    for consumer in declared:
        own = {path: text for path, text in tests.items() if path.startswith(f"{consumer.queue}/")}
        shared = "".join(text for path, text in own.items() if path.endswith("conftest.py"))
        twice = [text for text in own.values() if re.search(r"def test_\w*twice", text)]
        named = any(consumer.name in text + shared for text in twice)
        if not named and not (twice and queues.count(consumer.queue) == 1):
            missing.append(consumer.name)
    return missing


def test_every_consumer_has_a_test_that_delivers_twice() -> None:
    files = [file for app in APPS for file in (ROOT / app / "tests").rglob("*.py")]
    tests = {file.relative_to(ROOT).as_posix(): file.read_text() for file in files}
    missing = untested(ours(), tests)
    assert not missing, f"no test delivers twice to {', '.join(missing)}"


def test_a_consumer_without_such_a_test_is_found() -> None:
    orders = [declared for declared in ours() if declared.queue == "orders"]
    names = [declared.name for declared in orders]
    nothing = {"orders/tests/test_a.py": f"def test_once(): ...  # {names}"}
    assert untested(orders, nothing) == names
    others = {"audit/tests/test_a.py": f"def test_it_twice(): ...  # {names}"}
    assert untested(orders, others) == names
    one = {"orders/tests/test_a.py": f"def test_it_twice(): ...  # {names[0]}"}
    assert untested(orders, one) == names[1:]
