"""What the bench runs: fixed instances of every class and size, each with the seconds that the
goals allow. The default run takes at most forty minutes of search; a full one every instance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from . import data

AUTO, ORTOOLS, PEER, OURS = "auto", "ortools", "usual OR-Tools", "ours"
SEED = 1
REAL_DAY, EURO_STATIC, EURO_DYNAMIC = "real_day", "euro_static", "euro_dynamic"
#: Days of the dynamic problem that a full run replays, with so many seconds for an epoch.
EPOCH_SECONDS = 10.0


@dataclass(frozen=True, order=True)
class Task:
    """One run. ``seconds`` is its time limit; of the dynamic problem, that of an epoch."""

    group: str
    instance: str
    engine: str
    seconds: float
    seed: int = SEED


@dataclass(frozen=True)
class Group:
    """``sample`` is in the order in which engines other than ``auto`` take their share of it."""

    name: str
    title: str
    seconds: float
    sample: tuple[str, ...]
    #: How many of the sample's instances other engines run in the default run.
    others: dict[str, int] = field(default_factory=dict)
    #: The mean gap in % and the MB that the first engine must keep to.
    most_gap: float | None = None
    most_mb: float | None = None


def _both(count: int) -> dict[str, int]:
    return {ORTOOLS: count, PEER: count}


GROUPS = (
    Group(
        "solomon",
        "Solomon, 100 customers",
        10,
        ("R104", "RC203", "C109", "R208", "RC106", "C204"),
        _both(4),
        most_gap=0.5,
    ),
    Group(
        "gh200",
        "Gehring & Homberger, 200 customers",
        30,
        ("RC1_2_5", "R2_2_4", "C2_2_3", "R1_2_1", "RC2_2_6", "C1_2_3"),
        _both(2),
        most_gap=1.5,
    ),
    Group(
        "gh400",
        "Gehring & Homberger, 400 customers",
        60,
        ("R1_4_4", "RC2_4_5", "C1_4_7", "R2_4_6", "RC1_4_8", "C2_4_3"),
        _both(1),
        most_gap=3.0,
    ),
    Group(
        "gh1000",
        "Gehring & Homberger, 1000 customers",
        120,
        ("RC1_10_5", "R2_10_4", "C2_10_6", "R1_10_7", "RC2_10_9", "C1_10_8"),
        _both(1),
        most_gap=5.0,
        most_mb=1024.0,
    ),
    Group(
        EURO_STATIC,
        "EURO Meets NeurIPS 2022, static",
        300,
        ("ORTEC-VRPTW-ASYM-2322c8ce-d1-n222-k30",),
    ),
)
DYNAMIC_SAMPLE = ("ORTEC-VRPTW-ASYM-843d130e-d1-n211-k20-seed950",)
DAY = Task(REAL_DAY, "olist, 1000 stops", AUTO, 50.0)
NAMES = (*(group.name for group in GROUPS), EURO_DYNAMIC, REAL_DAY)


def tasks(
    names: Iterable[str] = NAMES, *, full: bool = False, seconds: float | None = None
) -> list[Task]:
    """What to run, in this order; ``seconds`` makes every run a short one, to try the bench.
    Raises NoData."""
    wanted = set(names)
    found = [task for group in GROUPS if group.name in wanted for task in _of(group, full)]
    if EURO_DYNAMIC in wanted:
        found += [Task(EURO_DYNAMIC, day, OURS, EPOCH_SECONDS) for day in _days(full)]
    if REAL_DAY in wanted:
        found.append(DAY)
    if seconds is not None:
        found = [Task(t.group, t.instance, t.engine, seconds, t.seed) for t in found]
    return found


def _of(group: Group, full: bool) -> Iterator[Task]:
    instances = group.sample
    if full:
        known = (known for known in data.best_known().values() if known.group == group.name)
        instances = tuple(sorted(known.instance for known in known))
    for instance in instances:
        yield Task(group.name, instance, AUTO, limit(group, instance))
    for engine, count in group.others.items():
        for instance in instances if full else instances[:count]:
            yield Task(group.name, instance, engine, limit(group, instance))


def limit(group: Group, instance: str) -> float:
    """Seconds; the competition gave them by the number of customers, which its names tell."""
    if group.name != EURO_STATIC:
        return group.seconds
    customers = int(instance.rpartition("-n")[2].partition("-")[0])
    return 300.0 if customers <= 300 else 600.0 if customers <= 500 else 900.0


def _days(full: bool) -> Iterable[str]:
    from .dynamic_day import days

    return days() if full else DYNAMIC_SAMPLE


def planned_seconds(task: Task) -> float:
    """Of a whole run, for the progress bar: a day has some seven epochs."""
    return task.seconds * 7 if task.group == EURO_DYNAMIC else task.seconds
