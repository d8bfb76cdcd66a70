"""`manage.py load_orders`: what can be placed is placed, what can't is told with its line."""

from __future__ import annotations

import csv
import gzip
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from conftest import ROOT, eventually
from orders.management.commands.create_channel import Command as CreateChannel
from orders.models import CatalogueItem, Channel, Order, OrderLine
from supplychain.events.models import OutboxEvent
from supplychain.operations.loading import olist_world
from supplychain.operations.loading.items import Broken, Fault, Found
from supplychain.operations.loading.loader import Loader, Tally
from supplychain.operations.loading.olist import Olist
from supplychain.operations.loading.orders_csv import COLUMNS, OrdersCsv
from supplychain.operations.loading.rows import MAX_LINE, Lines, UnusableFile
from supplychain.operations.loading.targets import (
    Answer,
    Closed,
    Http,
    Indigestible,
    InProcess,
    Unreachable,
)

OLIST = ROOT.parent / "shared" / "data" / "olist"
HEADER = ",".join(COLUMNS)
needs_olist = pytest.mark.skipif(not OLIST.is_dir(), reason=f"no Olist data in {OLIST}")


def row(external_id: str, sku: str = "LAMP", **cells: str) -> str:
    values = {
        "external_id": external_id,
        "customer_name": "Ana Souza",
        "customer_email": "ana@example.com",
        "address": "Rua Augusta 12",
        "city": "São Paulo",
        "region": "SP",
        "postal_code": "01305-000",
        "country": "BR",
        "latitude": "-23.5505",
        "longitude": "-46.6333",
        "currency": "BRL",
        "sku": sku,
        "quantity": "2",
        "unit_price": "19.90",
        **cells,
    }
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values.get(name, "") for name in COLUMNS)
    return line.getvalue()


def write(path: Path, *lines: str | bytes, header: str = HEADER) -> Path:
    content = [line if isinstance(line, bytes) else line.encode() for line in (header, *lines)]
    path.write_bytes(b"\n".join(content) + b"\n")
    return path


def read(path: Path) -> list[Found | Broken]:
    return list(OrdersCsv(path))


def orders_in(path: Path) -> list[Found]:
    return [item for item in read(path) if isinstance(item, Found)]


def told(path: Path) -> list[tuple[int, str, str]]:
    """(row, external id, field) of every fault."""
    return [
        (fault.row, item.external_id, fault.field)
        for item in read(path)
        if isinstance(item, Broken)
        for fault in item.faults
    ]


def load(path: Path, **options: object) -> str:
    out = io.StringIO()
    call_command("load_orders", str(path), stdout=out, **options)
    return out.getvalue()


def refusals_in(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(report.read_text(encoding="utf-8").splitlines()))


@pytest.fixture
def channel(db: None) -> Channel:
    CatalogueItem.objects.create(sku="LAMP", name="Lamp", active=True, sequence=1)
    CatalogueItem.objects.create(sku="PAN", name="Pan", active=True, sequence=1)
    CreateChannel.channel_token("shop")
    return Channel.objects.get(code="shop")


class TestReadingOurCsv:
    def test_rows_of_one_order_become_its_lines(self, tmp_path):
        path = write(
            tmp_path / "o.csv",
            row("A", requested_from="2026-12-01T08:00:00-03:00", customer_phone="+55 11 5"),
            row("A", "PAN", quantity="3", city="", customer_email=""),
            row("B"),
        )
        first, second = read(path)
        assert isinstance(first, Found) and isinstance(second, Found)
        assert first.rows == (2, 3)
        assert first.body == {
            "external_id": "A",
            "customer": {
                "name": "Ana Souza",
                "email": "ana@example.com",
                "phone": "+55 11 5",
            },
            "ship_to": {
                "address": "Rua Augusta 12",
                "city": "São Paulo",
                "region": "SP",
                "postal_code": "01305-000",
                "country": "BR",
                "latitude": -23.5505,
                "longitude": -46.6333,
            },
            "currency": "BRL",
            "requested_from": "2026-12-01T08:00:00-03:00",
            "lines": [
                {"sku": "LAMP", "quantity": 2, "unit_price": "19.90"},
                {"sku": "PAN", "quantity": 3, "unit_price": "19.90"},
            ],
        }

    @pytest.mark.parametrize("how", ["plain", "gzip", "windows", "columns in another order"])
    def test_the_same_file_in_other_clothes(self, tmp_path, how):
        path = write(tmp_path / "o.csv", row("A"), row("A", "PAN"), "", row("B"))
        expected = [item.body for item in orders_in(path)]
        data = path.read_bytes()
        if how == "gzip":
            data = gzip.compress(data)
        elif how == "windows":
            data = b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")
        elif how == "columns in another order":
            rows = [cells[::-1] for cells in csv.reader(io.StringIO(data.decode()))]
            text = io.StringIO()
            csv.writer(text).writerows(rows)
            data = text.getvalue().encode()
        path.write_bytes(data)
        assert [item.body for item in orders_in(path)] == expected

    @pytest.mark.parametrize(
        ("cell", "field"),
        [
            ({"quantity": "two"}, "lines[0].quantity"),
            ({"quantity": "2.0"}, "lines[0].quantity"),
            ({"quantity": "9" * 5000}, "lines[0].quantity"),
            ({"latitude": "-23,55"}, "ship_to.latitude"),
            ({"longitude": "nan"}, "ship_to.longitude"),
            ({"longitude": "1e400"}, "ship_to.longitude"),
            ({"requested_from": "2026-12-01T08:00:00"}, "requested_from"),
            ({"requested_until": "tomorrow"}, "requested_until"),
        ],
    )
    def test_a_bad_cell_is_told_by_its_field(self, tmp_path, cell, field):
        path = write(tmp_path / "o.csv", row("A"), row("B", **cell), row("C"))
        assert told(path) == [(3, "B", field)]
        assert [item.external_id for item in read(path)] == ["A", "B", "C"]

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("B,only,three", "3 columns instead of 17"),
            (row("B") + ",more", "18 columns instead of 17"),
            (row("B").replace("São Paulo", '"São Paulo'), "not a whole CSV record"),
            (row("B").encode("latin-1"), "not UTF-8: byte 0xe3"),
            (row("B", address="x" * 1_000_000), "a line of 1,000,"),
            (row("B", address="x" * MAX_LINE), "at most 65,536 are read"),
            (HEADER, "the header once more"),
            (row(""), "belongs to it"),
        ],
    )
    def test_a_broken_line_stops_no_other(self, tmp_path, line, reason):
        path = write(tmp_path / "o.csv", row("A"), line, row("C"))
        items = read(path)
        assert [i.external_id for i in items if isinstance(i, Found)] == ["A", "C"]
        [broken] = [item for item in items if isinstance(item, Broken)]
        [fault] = broken.faults
        assert fault.row == 3 and reason in fault.reason

    def test_an_order_with_a_broken_row_is_not_placed_in_part(self, tmp_path):
        path = write(tmp_path / "o.csv", row("A"), row("A", "PAN", quantity="x"), row("A", "CUP"))
        assert told(path) == [(3, "A", "lines[1].quantity")]
        [item] = read(path)
        assert isinstance(item, Broken)

    def test_a_line_of_unknown_order_amidst_an_order_spoils_it(self, tmp_path):
        path = write(tmp_path / "o.csv", row("A"), b'"\xff\xff\xff', row("A", "PAN"), row("B"))
        nameless, order, after = read(path)
        assert isinstance(nameless, Broken) and nameless.external_id == ""
        assert isinstance(order, Broken) and order.external_id == "A"
        assert "line 3" in order.faults[0].reason
        assert isinstance(after, Found)

    def test_what_is_said_again_of_an_order_must_agree(self, tmp_path):
        path = write(tmp_path / "o.csv", row("A"), row("A", "PAN", city="Santos"))
        assert told(path) == [(3, "A", "ship_to.city")]

    def test_an_endless_order_takes_bounded_memory(self, tmp_path):
        path = write(tmp_path / "o.csv", *(row("A", f"S{n}") for n in range(2000)), row("B"))
        endless, after = read(path)
        assert isinstance(endless, Broken) and len(endless.faults) == 50
        assert endless.faults[0].row == 502
        assert isinstance(after, Found)

    @pytest.mark.parametrize(
        ("header", "reason"),
        [
            ("", "begins with no header"),
            (HEADER + ",sku", "has sku twice"),
            (HEADER.replace("unit_price", "price"), "lacks unit_price"),
            (HEADER + ",colour", "no column colour"),
            ('"' + HEADER, "header:"),
            ("x" * 100_000, "header: a line of"),
        ],
    )
    def test_a_header_that_will_not_do(self, tmp_path, header, reason):
        path = write(tmp_path / "o.csv", row("A"), header=header)
        with pytest.raises(UnusableFile, match=reason):
            OrdersCsv(path)

    def test_damaged_gzip_gives_what_is_before_the_damage(self, tmp_path):
        path = tmp_path / "o.csv.gz"
        text = "\n".join([HEADER, *(row(f"A{n}") for n in range(2000))])
        path.write_bytes(gzip.compress(text.encode())[:-4000])
        source = OrdersCsv(path)
        items = list(source)
        assert isinstance(items[0], Found)
        [broken] = [item for item in items if isinstance(item, Broken)]
        assert broken.faults[0].row == len(items) + 1
        assert "damaged" in broken.faults[0].reason and "damaged" in source.damage

    def test_memory_is_flat(self, tmp_path):
        import tracemalloc

        path = tmp_path / "o.csv.gz"
        with gzip.open(path, "wt", compresslevel=1) as file:
            file.write(HEADER + "\n")
            file.writelines(row(f"A{n}") + "\n" for n in range(6_000))
        tracemalloc.start()
        assert sum(1 for _ in OrdersCsv(path)) == 6_000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2_000_000

    def test_a_giant_line_is_never_held_in_memory(self, tmp_path):
        import tracemalloc

        path = tmp_path / "o.csv"
        with path.open("wb") as file:
            file.write(HEADER.encode() + b"\n")
            for _ in range(50):
                file.write(b"x" * 1_000_000)
            file.write(b"\n" + row("A").encode())
        tracemalloc.start()
        lines = list(Lines(path))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [bool(line.fault) for line in lines] == [False, True, False]
        assert peak < 2_000_000


class _Scripted:
    """A target at the edge of the system: answers as told, one behaviour per call."""

    def __init__(self, *failures: Exception | None, poison: str = "") -> None:
        self.failures, self.poison = list(failures), poison
        self.sizes: list[int] = []

    def send(self, bodies):
        self.sizes.append(len(bodies))
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        if any(body["external_id"] == self.poison for body in bodies):
            raise Indigestible("500")
        return [Answer("created") for _ in bodies]


class _Source:
    damage = ""
    position = total = 0

    def __init__(self, count: int, weight: int = 0) -> None:
        self.items = [
            Found(f"A{n}", (n + 2,), {"external_id": f"A{n}", "x": "x" * weight})
            for n in range(count)
        ]

    def __iter__(self) -> Iterator[Found]:
        return iter(self.items)


class TestLoader:
    def test_one_order_that_cannot_be_answered_takes_no_other_along(self):
        target, tally = _Scripted(poison="A37"), Tally()
        Loader(target, tally, chunk=50).run(_Source(100))
        assert (tally.created, tally.refused) == (99, 1)
        [group] = tally.groups.values()
        assert group.rows == [39]

    def test_a_break_is_waited_out(self):
        target, tally = _Scripted(Unreachable("away"), Unreachable("away")), Tally()
        Loader(target, tally, patience=(0, 0)).run(_Source(3))
        assert tally.created == 3

    def test_patience_ends(self):
        target, tally = _Scripted(*[Unreachable("away")] * 3), Tally()
        with pytest.raises(Unreachable):
            Loader(target, tally, patience=(0, 0)).run(_Source(3))
        assert tally.created == 0

    def test_chunks_are_bounded_in_number_and_size(self):
        target = _Scripted()
        Loader(target, Tally(), chunk=40).run(_Source(100))
        assert target.sizes == [40, 40, 20]
        target = _Scripted()
        Loader(target, Tally()).run(_Source(10, weight=300_000))
        assert target.sizes == [3, 3, 3, 1]

    def test_the_report_is_whole_while_the_summary_is_short(self):
        report = io.StringIO()
        tally = Tally(report)
        for n in range(30):
            tally.refuse(f"A{n}", [Fault(n, f"lines[{n}].sku", f"No product 'X{n}'.")])
        [group] = tally.groups.values()
        assert group.count == 30 and group.rows == [0, 1, 2, 3, 4]
        assert len(report.getvalue().splitlines()) == 31

    def test_reasons_without_number_take_bounded_memory(self):
        tally = Tally()
        for n in range(2000):
            tally.refuse("A", [Fault(n, "", "reason " + "x" * n)])
        assert len(tally.groups) <= 501
        assert sum(group.count for group in tally.groups.values()) == 2000


class TestInProcess:
    def test_mixed_file(self, channel, tmp_path):
        path = write(
            tmp_path / "o.csv",
            row("A"),
            row("A", "PAN"),
            row("B", "NOPE"),
            row("C", quantity="0"),
            "D,broken",
            row("E"),
            row("F", latitude="91"),
            row("E", quantity="5"),
        )
        report = tmp_path / "report.csv"
        out = load(path, channel="shop", report=report)
        assert out.startswith("2 created, 0 existing, 5 refused")
        assert sorted(Order.objects.values_list("external_id", flat=True)) == ["A", "E"]
        assert OrderLine.objects.filter(order__external_id="A").count() == 2
        assert OutboxEvent.objects.filter(event_type="orders.order_placed").count() == 2
        refusals = refusals_in(report)
        assert [(r["row"], r["external_id"], r["field"]) for r in refusals] == [
            ("6", "D", ""),
            ("4", "B", "lines[0].sku"),
            ("5", "C", "lines[0].quantity"),
            ("8", "F", "ship_to.latitude"),
            ("9", "E", "external_id"),
        ]

    def test_the_row_of_a_refused_line_is_told(self, channel, tmp_path):
        path = write(tmp_path / "o.csv", row("A"), row("A", "PAN"), row("A", "NOPE"))
        report = tmp_path / "report.csv"
        load(path, channel="shop", report=report)
        [refusal] = refusals_in(report)
        assert (refusal["row"], refusal["field"]) == ("4", "lines[2].sku")

    @pytest.mark.parametrize("skip_known", [False, True])
    def test_a_second_run_finds_everything(self, channel, tmp_path, skip_known):
        path = write(tmp_path / "o.csv", *(row(f"A{n}") for n in range(7)), row("B", "NOPE"))
        load(path, channel="shop", chunk=3)
        out = load(path, channel="shop", chunk=3, skip_known=skip_known)
        assert out.startswith("0 created, 7 existing, 1 refused")
        assert Order.objects.count() == 7
        assert OutboxEvent.objects.count() == 7

    def test_only_a_comparison_sees_that_an_order_has_changed(self, channel, tmp_path):
        load(write(tmp_path / "o.csv", row("A")), channel="shop")
        path = write(tmp_path / "o.csv", row("A", quantity="5"))
        assert "0 existing, 1 refused" in load(path, channel="shop")
        assert "1 existing, 0 refused" in load(path, channel="shop", skip_known=True)

    def test_a_lost_database_is_waited_for(self, channel, monkeypatch):
        def lose(*_: object) -> set[str]:
            raise OperationalError("server closed the connection")

        target = InProcess(channel, skip_known=True)
        monkeypatch.setattr(target, "_known", lose)
        monkeypatch.setattr("supplychain.operations.loading.targets.connection.close", lambda: None)
        with pytest.raises(Unreachable):
            target.send([{"external_id": "A"}])

    def test_strict_counts_refusals_as_failure(self, channel, tmp_path):
        path = write(tmp_path / "o.csv", row("A"), row("B", "NOPE"))
        with pytest.raises(CommandError) as failure:
            load(path, channel="shop", strict=True)
        assert failure.value.returncode == 1
        assert Order.objects.count() == 1

    def test_a_damaged_file_is_told_by_the_exit_code(self, channel, tmp_path):
        path = tmp_path / "o.csv.gz"
        text = "\n".join([HEADER, *(row(f"A{n}") for n in range(2000))])
        path.write_bytes(gzip.compress(text.encode())[:-4000])
        with pytest.raises(CommandError, match="damaged") as failure:
            load(path, channel="shop")
        assert failure.value.returncode == 2
        assert Order.objects.exists()

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({}, "Say where to"),
            ({"channel": "shop", "api": "http://x"}, "Say where to"),
            ({"channel": "nobody"}, "no active channel 'nobody'"),
            ({"api": "http://x"}, "--token"),
            ({"channel": "shop", "chunk": 501}, "--chunk"),
            ({"channel": "shop", "prepare": True}, "belong to --format olist"),
            ({"channel": "shop", "report": Path("/nowhere/r.csv")}, "can't be written"),
        ],
    )
    def test_wrong_options_are_told(self, channel, tmp_path, options, reason):
        path = write(tmp_path / "o.csv", row("A"))
        with pytest.raises(CommandError, match=reason) as failure:
            load(path, **options)
        assert failure.value.returncode == 2
        assert not Order.objects.exists()

    @pytest.mark.parametrize("name", ["missing.csv", "."])
    def test_a_path_that_is_no_file(self, channel, tmp_path, name):
        with pytest.raises(CommandError, match="can't be read"):
            load(tmp_path / name, channel="shop")


@pytest.mark.django_db(transaction=True)
class TestOverHttp:
    def test_the_same_file_gives_the_same_result(self, channel, live_server, tmp_path):
        path = write(tmp_path / "o.csv", row("A"), row("B", "NOPE"), row("C"), row("C", "PAN"))
        token = CreateChannel.channel_token("shop")
        out = load(path, api=live_server.url, token=token, chunk=2)
        assert out.startswith("2 created, 0 existing, 1 refused")
        assert load(path, channel="shop").startswith("0 created, 2 existing, 1 refused")

    def test_a_body_that_is_too_long_goes_in_parts(self, channel, live_server, tmp_path, settings):
        settings.API_MAX_BODY = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2_000
        path = write(tmp_path / "o.csv", *(row(f"A{n}") for n in range(20)))
        token = CreateChannel.channel_token("shop")
        assert load(path, api=live_server.url, token=token).startswith("20 created")

    def test_a_wrong_token_ends_the_run(self, channel, live_server, tmp_path):
        path = write(tmp_path / "o.csv", row("A"))
        with pytest.raises(CommandError, match="401") as failure:
            load(path, api=live_server.url, token="wrong")
        assert failure.value.returncode == 2

    def test_another_server_is_recognised(self, channel, live_server):
        with pytest.raises(Closed):
            Http(f"{live_server.url}/admin", "x").send([{}])

    def test_nobody_listens(self):
        from supplychain.native.processes import free_ports

        [port] = free_ports(1)
        with pytest.raises(Unreachable):
            Http(f"http://127.0.0.1:{port}", "x").send([{}])


@pytest.mark.django_db(transaction=True)
def test_a_killed_run_is_taken_up(channel, tmp_path):
    """kill -9 in the middle; the second run makes what is missing and doubles nothing."""
    path = write(tmp_path / "o.csv", *(row(f"A{n}") for n in range(1500)))
    url = "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**connection.settings_dict)
    command = [sys.executable, "manage.py", "load_orders", str(path), "--channel", "shop"]
    process = subprocess.Popen(
        [*command, "--chunk", "10"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: Order.objects.count() >= 100)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = Order.objects.count()
    assert 100 <= before < 1500
    out = load(path, channel="shop")
    assert out.startswith(f"{1500 - before} created, {before} existing, 0 refused")
    assert OutboxEvent.objects.values("subject").distinct().count() == 1500


# --- Olist ----------------------------------------------------------------------------------

SMALL = {
    "olist_orders_dataset.csv": """order_id,customer_id,order_status
o1,c1,delivered
o2,c2,delivered
o3,c3,canceled
o4,c1,unavailable
o5,c4,delivered
o6
o7,c1,shipped
""",
    "olist_order_items_dataset.csv": """order_id,order_item_id,product_id,seller_id,price
o1,1,p1,s1,10.00
o1,2,p1,s1,10.00
o1,3,p2,s2,5.50
o2,1,p2,s2,5.50
o3,1,p1,s1,10.00
o5,1,p1,s1,10.00
o7,1,p9,s1,10.00
""",
    "olist_products_dataset.csv": """"product_id","product_category_name","product_weight_g",\
"product_length_cm","product_height_cm","product_width_cm"
p1,cama_mesa,1500,10,20,30
p2,,,,,
""",
    "olist_sellers_dataset.csv": """seller_id,seller_zip_code_prefix,seller_city,seller_state
s1,01000,sao paulo,SP
s2,80000,curitiba,PR
s3,99999,nowhere,RJ
""",
    "olist_customers_dataset.csv": """customer_id,customer_zip_code_prefix
c1,1000
c2,80000
c3,55555
c4,70000
""",
    "olist_geolocation_dataset.csv": """geolocation_zip_code_prefix,geolocation_lat,\
geolocation_lng,geolocation_city,geolocation_state
01000,-23.5,-46.6,sao paulo,SP
01000,-23.6,-46.7,sao paulo,SP
80000,-25.4,-49.2,curitiba,PR
70000,43.6,-8.4,another coruña,DF
""",
}


@pytest.fixture
def small(tmp_path) -> Path:
    for name, text in SMALL.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


class TestOlist:
    def test_orders(self, small):
        items = {item.external_id: item for item in Olist(small)}
        first = items["o1"]
        assert isinstance(first, Found)
        assert first.body["lines"] == [
            {"sku": "p1", "quantity": 2, "unit_price": "10.00"},
            {"sku": "p2", "quantity": 1, "unit_price": "5.50"},
        ]
        assert first.body["ship_to"]["postal_code"] == "01000"
        assert first.body["ship_to"]["latitude"] == -23.5
        reasons = {
            item.external_id: (item.faults[0].row, item.faults[0].reason)
            for item in items.values()
            if isinstance(item, Broken)
        }
        assert reasons == {
            "o3": (4, "No point in Brazil is known for postcode '55555'."),
            "o4": (5, "The order has no items."),
            "o5": (6, "No point in Brazil is known for postcode '70000'."),
            "": (7, "1 columns instead of 3"),
        }

    def test_world(self, small):
        olist = Olist(small)
        places = olist_world.warehouses(olist)
        assert [(p.code, p.latitude) for p in places] == [("PR", -25.4), ("SP", -23.5)]
        first, rest = olist_world.stock(olist, places)
        assert first == {"SP": {"p1": 2}, "PR": {"p2": 2}}
        assert rest == {}

    @pytest.mark.django_db
    def test_prepare_load_and_again(self, small, channel):
        load(small, format="olist", prepare=True)
        told = OutboxEvent.objects.count()
        load(small, format="olist", prepare=True)
        assert OutboxEvent.objects.count() == told
        CatalogueItem.objects.create(sku="p1", name="x", active=True, sequence=1)
        CatalogueItem.objects.create(sku="p2", name="x", active=True, sequence=1)
        out = load(small, format="olist", channel="shop")
        assert out.startswith("2 created, 0 existing, 5 refused")

    @pytest.mark.parametrize("name", sorted(SMALL))
    def test_a_missing_file_is_named(self, small, name):
        (small / name).unlink()
        with pytest.raises(UnusableFile, match=name):
            olist_world.prepare(Olist(small))

    def test_a_damaged_look_up_table_is_named(self, small):
        path = small / "olist_order_items_dataset.csv"
        path.write_text(path.read_text() + "o9,1\n")
        with pytest.raises(UnusableFile, match="line 9: 2 columns"):
            Olist(small)

    @needs_olist
    def test_all_of_it_can_be_read(self):
        olist = Olist(OLIST)
        found = [item for item in olist if isinstance(item, Found)]
        broken = [item for item in olist if isinstance(item, Broken)]
        assert (len(found), len(broken)) == (7335, 800)
        assert sum(len(item.body["lines"]) for item in found) <= 8365
        places = olist_world.warehouses(olist)
        assert [place.code for place in places] == ["SP", "PR", "MG", "SC"]
        first, rest = olist_world.stock(olist, places)
        units = [sum(sum(s.values()) for s in stock.values()) for stock in (first, rest)]
        assert sum(units) == sum(line["quantity"] for i in found for line in i.body["lines"])
        assert units[1] == sum(units) // 10
