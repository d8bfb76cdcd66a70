"""`make bench-routing`: instances are read to the unit, figures are right, goals are judged."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from itertools import count
from xml.etree import ElementTree

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT, eventually
from routing.validate import violations
from supplychain.native.processes import birth
from supplychain.operations.bench_routing import (
    data,
    dynamic_day,
    instances,
    measuring,
    one,
    page,
    plot,
    real_day,
    results,
    sample,
    table,
)
from supplychain.operations.bench_routing.data import Known
from supplychain.operations.bench_routing.dynamic_day import AgainstTheRules, Request
from supplychain.operations.bench_routing.dynamic_planner import UnknownPolicy, planner
from supplychain.operations.bench_routing.instances import BadInstance
from supplychain.operations.bench_routing.one import Outcome
from supplychain.operations.bench_routing.results import Result, Store
from supplychain.operations.bench_routing.sample import AUTO, ORTOOLS, PEER, Task

PACK = ROOT.parent / "shared" / "data"
needs_pack = pytest.mark.skipif(
    not (PACK / "bks.csv").is_file(), reason=f"no benchmark data in {PACK}"
)

SOLOMON = """TINY

VEHICLE
NUMBER     CAPACITY
  3         10

CUSTOMER
CUST NO.  XCOORD.   YCOORD.    DEMAND   READY TIME  DUE DATE   SERVICE   TIME

    0      0         0          0          0       100          0
    1      3         4          4         20        30          5
    2      1         1          7          0        90          5
"""
#: Two customers, a way that is shorter in one direction, hours in seconds.
ORTEC = """NAME : TINY
COMMENT : by hand
TYPE : VRPTW
DIMENSION : 3
EDGE_WEIGHT_TYPE : EXPLICIT
VEHICLES : 2
EDGE_WEIGHT_FORMAT : FULL_MATRIX
CAPACITY : 10
EDGE_WEIGHT_SECTION
0	100	200
110	0	50
210	60	0
NODE_COORD_SECTION
1	0	0
2	1	1
3	2	2
DEMAND_SECTION
1	0
2	4
3	5
DEPOT_SECTION
1
-1
SERVICE_TIME_SECTION
1	0
2	300
3	300
TIME_WINDOW_SECTION
1	0	20000
2	4000	9000
3	8000	15000
EOF
"""
STATIC = next(g.sample[0] for g in sample.GROUPS if g.name == sample.EURO_STATIC)
DYNAMIC = sample.DYNAMIC_SAMPLE[0]
STREAM = """request_id,epoch,customer,tw_start,tw_end,service_s,demand,last_epoch
1,0,1,4000,9000,300,4,1
2,0,2,4000,15000,300,5,1
3,1,2,8000,15000,300,5,1
"""
#: Everything goes in its last epoch: 100 + 110, and 200 + 210 for two at one place.
BEST_DYNAMIC = 620
#: All of a tiny day in one route, after the vehicle has waited: 100 + 50 + 210.
BEST_STATIC = 360


@pytest.fixture
def pack(tmp_path, monkeypatch):
    """A folder like that of the benchmark data, with a tiny instance under the sample's names."""
    folder = tmp_path / "data"
    for name in ("vrptw/solomon", "euro/instances", "euro/dynamic_requests"):
        (folder / name).mkdir(parents=True)
    (folder / "bks.csv").write_text(
        "set,instance,objective,cost\n"
        "solomon,TINY,vehicles_then_distance,99\n"
        "solomon,TINY,distance,12.8\n"
        f"euro_static,{STATIC},driving duration,{BEST_STATIC}\n"
    )
    (folder / "vrptw/solomon/TINY.txt").write_text(SOLOMON)
    for name in (STATIC, DYNAMIC.rpartition("-")[0]):
        (folder / f"euro/instances/{name}.txt").write_text(ORTEC)
    (folder / f"euro/dynamic_requests/{DYNAMIC}.csv").write_text(STREAM)
    instance, _, seed = DYNAMIC.rpartition("-seed")
    (folder / "euro/results_dynamic.csv").write_text(
        f"instance,seed,Kleopatra,baseline_greedy,baseline_lazy\n{instance},{seed},500,1000,900\n"
    )
    monkeypatch.setenv(data.VARIABLE, str(folder))
    return folder


# --- readers ------------------------------------------------------------------------------


def test_solomon_counts_in_tenths_and_truncates_each_arc():
    tiny = instances.read_solomon(SOLOMON)
    assert tiny.units.tolist() == [[0, 50, 14], [50, 0, 36], [14, 36, 0]]
    assert tiny.windows == ((0, 1000), (200, 300), (0, 900))
    assert (tiny.services, tiny.demands) == ((0, 50, 50), (0, 4, 7))
    assert (tiny.name, tiny.vehicles, tiny.capacity, tiny.customers) == ("TINY", 3, 10, 2)


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=2, max_size=6))
def test_truncation_is_exact(points):
    x, y = np.array(points, dtype=np.int64).T
    found = instances.truncated_tenths(x, y)
    for a, (ax, ay) in enumerate(points):
        for b, (bx, by) in enumerate(points):
            assert found[a, b] == math.isqrt(100 * ((ax - bx) ** 2 + (ay - by) ** 2))


def test_a_plan_of_solomons_costs_what_the_file_says():
    tiny = instances.read_solomon(SOLOMON)
    assert instances.cost_of(tiny, [[1], [2]]) == pytest.approx(12.8)
    assert instances.cost_of(tiny, [[2, 1]]) == pytest.approx(10.0)
    assert tiny.problem().vehicles[0].capacity_kg == 10


def test_an_explicit_matrix_keeps_its_directions():
    tiny = instances.read_vrplib(ORTEC)
    assert instances.cost_of(tiny, [[1, 2]]) == 100 + 50 + 210
    assert instances.cost_of(tiny, [[2, 1]]) == 200 + 60 + 110
    assert tiny.windows == ((0, 20000), (4000, 9000), (8000, 15000))
    assert (tiny.demands, tiny.services) == ((0, 4, 5), (0, 300, 300))


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", SOLOMON.replace("    1      3", "    5      3"), SOLOMON.replace("3  ", "x")],
)
def test_what_is_not_solomons_format_is_refused(text):
    with pytest.raises(BadInstance):
        instances.read_solomon(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ORTEC.replace("FULL_MATRIX", "LOWER_ROW"),
        ORTEC.replace("110\t0\t50\n", ""),
        ORTEC.replace("DEMAND_SECTION\n1\t0\n", "DEMAND_SECTION\n7\t0\n"),
        ORTEC.replace("CAPACITY : 10\n", ""),
    ],
)
def test_what_is_not_ortecs_format_is_refused(text):
    with pytest.raises(BadInstance):
        instances.read_vrplib(text)


def test_the_conventions_of_best_known_costs_are_not_mixed(pack):
    assert data.best_known()["TINY"] == Known("solomon", "TINY", 12.8)


def test_absent_data_is_said_with_the_variable_that_names_it(monkeypatch, tmp_path):
    monkeypatch.setenv(data.VARIABLE, str(tmp_path))
    with pytest.raises(CommandError, match=f"{tmp_path}.*{data.VARIABLE}"):
        call_command("bench_routing", "euro_dynamic", results=tmp_path / "results.jsonl")
    with pytest.raises(CommandError, match=data.VARIABLE):
        call_command("routing", "simulate")


@needs_pack
@pytest.mark.parametrize("group", ["solomon", "gh1000"])
def test_published_routes_cost_what_is_published(group):
    checked = 0
    for known in data.best_known().values():
        file = PACK / "vrptw/solutions_cvrplib" / f"{known.instance}.sol"
        if known.group == group and file.is_file():
            lines = (line.partition(":") for line in file.read_text().splitlines())
            routes = [[int(c) for c in rest.split()] for key, _, rest in lines if "Route" in key]
            cost = instances.cost_of(one.instance_of(group, known.instance), routes)
            assert cost == pytest.approx(known.cost, abs=1e-6), known
            checked += 1
    assert checked > 30


@needs_pack
def test_every_instance_of_the_sample_is_there_with_its_best_known_cost():
    known = data.best_known()
    for group in sample.GROUPS:
        for name in group.sample:
            assert known[name].group == group.name
            assert one.instance_of(group.name, name).customers > 0
    assert set(sample.DYNAMIC_SAMPLE) <= set(dynamic_day.days())


@needs_pack
def test_the_real_day_has_a_thousand_stops_that_a_van_can_serve():
    stops, later = real_day.read()
    problem = real_day.problem(stops)
    assert (len(stops), len(later)) == (real_day.STOPS, real_day.PROMISES)
    assert max(s.load_kg for s in problem.stops) <= problem.vehicles[0].capacity_kg
    assert problem.travel.seconds.shape == (1003, 1003)


# --- the rules of the dynamic days --------------------------------------------------------


@pytest.fixture
def day(pack):
    return dynamic_day.read_day(DYNAMIC)


def sent(**by_epoch):
    """A planner that always sends the same."""
    return lambda epoch, waiting: by_epoch.get(f"e{epoch}", [])


def test_a_day_has_the_epochs_of_its_customers(day):
    assert list(day.epochs) == [0, 1]
    assert dynamic_day.departure_s(1) == 7200


def test_the_cost_is_what_is_driven_in_each_epoch(day):
    costs = dynamic_day.replay(day, sent(e0=[[1], [2]], e1=[[3]]))
    assert costs == {0: 100 + 110 + 200 + 210, 1: 200 + 210}


@pytest.mark.parametrize(
    ("fault", "routes"),
    [
        ("had to go", {"e0": [[1]], "e1": [[3]]}),
        ("is not open", {"e0": [[1, 1]]}),
        ("is not open", {"e0": [[3]]}),
        ("is not open", {"e0": [[1]], "e1": [[1], [2], [3]]}),
        ("too much", {"e0": [], "e1": [[1, 2, 3]]}),
    ],
)
def test_a_dispatch_against_the_rules_is_refused(day, fault, routes):
    with pytest.raises(AgainstTheRules, match=fault):
        dynamic_day.replay(day, sent(**routes))


@pytest.mark.parametrize(
    ("fault", "change"),
    [("late", {"closes_s": 7299}), ("has closed", {"opens_s": 19591, "closes_s": 19900})],
)
def test_times_are_kept_to_the_second(day, fault, change):
    """Leaving at 7200, arriving at 7300; 300 s of service and 110 s back by 20000."""
    request = Request(1, 1, 1, 4000, 9000, 300, 4, 1)
    just = {"closes_s": 7300} if "opens_s" not in change else change | {"opens_s": 19590}
    assert alone(day, replace(request, **just)) == {0: 0, 1: 210}
    with pytest.raises(AgainstTheRules, match=fault):
        alone(day, replace(request, **change))


def alone(day, request):
    return dynamic_day.replay(replace(day, requests=(request,)), sent(e1=[[request.key]]))


def test_in_the_last_epoch_everything_must_go(day):
    patient = replace(day.requests[1], last_epoch=9)
    with pytest.raises(AgainstTheRules, match="request 2 had to go"):
        dynamic_day.replay(replace(day, requests=(patient,)), sent())


@needs_pack
@pytest.mark.parametrize("number", range(20))
def test_the_winners_routes_cost_what_is_published(number):
    name = dynamic_day.days()[number]
    winner = json.loads((PACK / "euro/dynamic_winner_routes" / f"{name}.json").read_text())
    routes = winner["routes_by_epoch"]
    costs = dynamic_day.replay(dynamic_day.read_day(name), lambda e, _: routes.get(str(e), []))
    assert sum(costs.values()) == winner["cost"] == table.published(name)["winner"]


@needs_pack
@pytest.mark.parametrize("number", range(0, 20, 5))
def test_requests_are_drawn_as_in_the_competition(number):
    day = dynamic_day.read_day(dynamic_day.days()[number])
    chance, keys = np.random.default_rng(int(day.name.rpartition("seed")[2])), count(1)
    drawn = [r for e in day.epochs for r in dynamic_day.drawn(day.instance, e, chance, keys)]
    assert tuple(drawn) == day.requests


# --- the policies -------------------------------------------------------------------------


def asked(day, policy, epoch=0):
    waiting = [request for request in day.requests if request.epoch <= epoch]
    return sorted(key for r in planner(day, policy, seconds=0.3)(epoch, waiting) for key in r)


def test_greedy_sends_all_and_lazy_only_what_must_go(day):
    assert asked(day, "greedy") == [1, 2]
    assert asked(day, "lazy") == []
    assert asked(day, "lazy", epoch=1) == [1, 2, 3]


def test_ours_sends_nothing_before_something_must_go(day):
    assert asked(day, "ours") == []
    assert asked(day, "ours", epoch=1) == [1, 2, 3]


def test_ours_takes_along_what_is_on_the_way(day):
    on_the_way = replace(day.requests[0], key=4, last_epoch=3)
    longer = replace(day, requests=(*day.requests, on_the_way))
    assert asked(longer, "ours", epoch=1) == [1, 2, 3, 4]


def test_an_unknown_policy_is_refused(day):
    with pytest.raises(UnknownPolicy, match="ours, greedy, lazy"):
        planner(day, "eager", seconds=1)


def test_simulate_tells_the_day_and_the_published_costs(pack, capsys):
    call_command("routing", "simulate", seconds=0.3)
    told = capsys.readouterr().out
    assert f"ours: {BEST_DYNAMIC} seconds driven" in told
    assert "winner: 500 (+24.0 %)" in told


# --- runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [AUTO, ORTOOLS, PEER])
def test_every_engine_finds_the_only_sensible_plan(pack, engine):
    found = one.run(Task("solomon", "TINY", engine, 0.5))
    assert (found.cost, found.routes, found.unserved) == (12.8, 2, 0)
    assert found.faults == []
    assert found.searcher == ("pyvrp" if engine == AUTO else "ortools")


def test_a_plan_that_serves_not_all_says_how_many_are_left(pack):
    file = pack / "vrptw/solomon/TINY.txt"
    file.write_text(SOLOMON.replace("         10\n", "         5\n"))
    found = one.run(Task("solomon", "TINY", AUTO, 0.3))
    assert (found.unserved, found.faults) == (1, [])


def test_a_peers_plan_that_breaks_a_constraint_is_found_out():
    tiny = instances.read_solomon(SOLOMON).problem()
    together = one.plan_of(tiny, [[1, 2]])
    assert any("must be either visited" in fault for fault in violations(tiny, together))


def test_a_run_is_measured_with_its_children(pack):
    found = measuring.measured(Task("solomon", "TINY", ORTOOLS, 1.6), "abc")
    assert (found.outcome.cost, found.revision) == (12.8, "abc")
    alone = measuring.measured(Task("solomon", "TINY", AUTO, 0.3), "abc")
    assert found.memory_mb > 1.5 * alone.memory_mb > 30


def test_a_run_that_fails_is_a_result_with_its_fault(pack):
    found = measuring.measured(Task("solomon", "MISSING", AUTO, 0.3), "abc")
    assert "MISSING" in found.outcome.faults[0]


def test_a_run_that_hangs_is_ended_with_its_children(tmp_path):
    note = tmp_path / "pid"
    sleeper = f"echo $$ > {note}; exec sleep 600"
    program = f"import subprocess; subprocess.run(['sh', '-c', {sleeper!r}])"
    process = subprocess.Popen([sys.executable, "-c", program])
    eventually(lambda: note.exists() and note.read_text().strip())
    measuring.watched(process, patience=0.5)
    assert process.returncode == -9
    eventually(lambda: birth(int(note.read_text())) is None)


# --- results ------------------------------------------------------------------------------


def result(instance="R104", cost=110.0, group="solomon", engine=AUTO, **more):
    outcome = {"took_s": 10.0, "searcher": "pyvrp"} | more
    task = Task(group, instance, engine, 10.0)
    return Result(task, Outcome(cost, **outcome), 100.0, "abc", "2026-11-25T10:00:00+00:00")


def test_results_come_back_as_they_were_written(tmp_path):
    store, written = Store(tmp_path / "results.jsonl"), result(faults=["broken"])
    store.add(written)
    assert store.load([written.task], "abc") == {written.task: written}


def test_results_of_other_code_other_tasks_and_half_lines_do_not_count(tmp_path):
    store = Store(tmp_path / "results.jsonl")
    kept, other_code, other_task = result("R104"), result("C109"), result("C204")
    store.add(replace(other_code, revision="old"))
    store.add(other_task)
    store.add(replace(kept, memory_mb=1.0))
    store.add(kept)
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write(other_code.line()[:40])
    assert store.load([kept.task, other_code.task], "abc") == {kept.task: kept}


def test_a_line_added_after_one_that_was_cut_off_counts(tmp_path):
    path, kept = tmp_path / "results.jsonl", result()
    path.write_text(kept.line()[:40])
    Store(path).add(kept)
    assert Store(path).load([kept.task], "abc") == {kept.task: kept}


def test_the_revision_is_of_all_that_a_run_uses():
    """Else a figure of other code would count as known."""
    program = "import sys, supplychain.operations.bench_routing.one; print(*sys.modules)"
    used = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()
    files = [f"{name.replace('.', '/')}.py" for name in used if name.startswith("routing.")]
    assert len(files) > 5
    for file in files:
        assert any(file.startswith(path) for path in results.MEASURED), file


# --- figures and goals --------------------------------------------------------------------

KNOWN = {name: Known("solomon", name, 100.0) for name in ("R104", "RC203", "C109")}


def test_gaps_are_in_percent_of_the_best_known_cost():
    assert table.gap(103.0, 100.0) == pytest.approx(3.0)
    results = [result("R104", 101.0), result("RC203", 105.0), result("R104", 120, engine=PEER)]
    ours, peer = table.rows(results, KNOWN)
    assert (ours.engine, ours.runs, ours.mean_gap, ours.worst_gap) == ("auto (pyvrp)", 2, 3.0, 5.0)
    assert (peer.engine, peer.mean_gap, peer.auto_gap) == (PEER, 20.0, 1.0)


def test_a_plan_that_is_not_whole_has_no_gap():
    results = [result("R104", 50.0, unserved=3), result("RC203", 60.0, faults=["late"])]
    (row,) = table.rows(results, KNOWN)
    assert (row.mean_gap, row.unserved) == (None, 3)
    assert row.faults == ("RC203, auto: late",)


def judged(*results, groups=("solomon",)):
    tasks = [task for task in sample.tasks(sample.NAMES) if task.group in groups]
    return {g.what: g for g in table.goals(tasks, results, table.rows(results, KNOWN), [])}


def test_goals_are_judged_by_what_auto_did():
    gap = "Solomon, 100 customers: mean gap"
    assert judged(result("R104", 100.4))[gap].met
    assert not judged(result("R104", 100.6))[gap].met
    assert not judged(result("R104", 100.4, engine=PEER))[gap].met
    assert not judged()[gap].met


def test_a_broken_constraint_and_an_unserved_stop_miss_a_goal():
    missed = [goal.what for goal in judged(result(faults=["late"])).values() if not goal.met]
    assert missed[0] == "constraints broken and runs failed"
    unserved = judged(result(unserved=1))["Solomon, 100 customers: stops unserved"]
    assert unserved.verdict == "1.00 in all (≤ 0): MISSED"


def test_the_real_day_has_its_goals():
    day = {"group": sample.REAL_DAY, "engine": AUTO, "promise_ms": 20.0}
    assert all(g.met for g in judged(result(**day), groups=[sample.REAL_DAY]).values())
    slow = judged(result(**day | {"promise_ms": 51.0, "took_s": 61.0}), groups=[sample.REAL_DAY])
    assert [g.met for g in slow.values()] == [True, False, True, False]


def test_the_dynamic_goal_is_for_all_days_together():
    days = [table.DynamicRow("a", 90, 80, 100, 150), table.DynamicRow("b", 103, 80, 100, 150)]
    tasks = [Task(sample.EURO_DYNAMIC, "a", "ours", 1)]
    assert [g.met for g in table.goals(tasks, [], [], days)] == [True, True]
    assert not table.goals(tasks, [], [], [])[-1].met


def test_the_default_run_fits_into_forty_minutes_and_a_full_one_takes_all(pack):
    tasks = sample.tasks()
    assert sum(map(sample.planned_seconds, tasks)) < 40 * 60
    assert {task.group for task in tasks} == set(sample.NAMES)
    assert len(set(tasks)) == len(tasks)
    engines = {t.engine for t in sample.tasks(["solomon"], full=True) if t.instance == "TINY"}
    assert engines == {AUTO, ORTOOLS, PEER}


@pytest.mark.parametrize(("customers", "seconds"), [(300, 300), (301, 600), (501, 900)])
def test_the_competitions_limits_are_by_size(customers, seconds):
    group = next(g for g in sample.GROUPS if g.name == sample.EURO_STATIC)
    assert sample.limit(group, f"ORTEC-VRPTW-ASYM-1a-d1-n{customers}-k30") == seconds


# --- the command --------------------------------------------------------------------------


@pytest.fixture
def bench(pack, tmp_path):
    """Run the command on the tiny data; gives the lines of results."""

    def run(*only: str, **options: object) -> list[str]:
        path = tmp_path / "results.jsonl"
        try:
            call_command("bench_routing", *only, seconds=0.3, results=path, **options)
        finally:
            lines = path.read_text().splitlines()
        return lines

    return run


def test_a_run_goes_on_where_it_stopped_unless_it_is_to_be_fresh(bench, capsys):
    first = bench(sample.EURO_STATIC)
    assert len(first) == 1
    assert f"{STATIC}, auto: 0 s, 0.00 % over the best known" in capsys.readouterr().out
    both = bench(sample.EURO_STATIC, sample.EURO_DYNAMIC, page=None)
    assert both[:1] == first
    assert len(both) == 2
    assert "1 of 2 runs are known from before" in capsys.readouterr().out
    assert len(bench(sample.EURO_STATIC, fresh=True)) == 1


def test_a_missed_goal_fails_the_command(bench, pack):
    file = pack / f"euro/instances/{STATIC}.txt"
    file.write_text(ORTEC.replace("CAPACITY : 10", "CAPACITY : 4"))
    with pytest.raises(CommandError, match="1 of 2 goals are missed"):
        bench(sample.EURO_STATIC)


def test_an_unknown_set_is_refused(pack, tmp_path):
    with pytest.raises(CommandError, match="No set is named nonsense"):
        call_command("bench_routing", "nonsense", results=tmp_path / "results.jsonl")


def test_table_and_plot_are_written_with_date_and_command(bench, tmp_path):
    path = tmp_path / "page.md"
    bench(sample.EURO_STATIC, sample.EURO_DYNAMIC, page=path)
    written = path.read_text()
    assert "`make bench-routing` on 20" in written
    assert f"{os.cpu_count()} cores (" in written
    for library in ("Python 3.", "ortools 9.", "pyvrp 0.", "numpy "):
        assert library in written
    assert "| euro_static | auto (pyvrp) | 1 | 0.00 % | 0.00 % | 0 |" in written
    assert f"| 1 in all | {BEST_DYNAMIC} | 500 | 1,000 | 900 | 24.00 % | -38.00 % |" in written
    assert "(page.svg)" in written
    assert ElementTree.parse(path.with_suffix(".svg")).getroot().tag.endswith("svg")


def test_the_plot_has_a_bar_for_each_row_and_is_the_same_each_time():
    results = [result("R104", 101.0), result("R104", 110.0, engine=PEER)]
    rows = table.rows(results, KNOWN)
    drawn = plot.svg(rows)
    assert drawn.count("<rect") == 2
    assert drawn.count("<line") == 1
    assert drawn == plot.svg(rows)
    assert plot.svg([]).count("<rect") == 0


def test_a_page_without_figures_says_so():
    written = page.markdown(page.Report([], [], [], []), "make bench-routing", "x.svg")
    assert "no day" in written
