"""What staff do to one level: quarantine, scrap, limits, corrections of books that are off."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from inventory import adjusting, correcting, selectors
from inventory.checking import InvalidStockChange
from inventory.events import (
    StockCorrected,
    StockLimitsChanged,
    StockLow,
    StockQuarantined,
    StockRestocked,
    StockScrapped,
)
from inventory.models import StockLevel, StockMovement, TransferLine
from inventory.selectors import books_off

from .conftest import (
    assert_nobody_waits_in_vain,
    consume,
    follow,
    levels,
    placed,
    publish,
    stocked,
    told,
    waiting,
)

pytestmark = pytest.mark.django_db


def the_level():
    return StockLevel.objects.get()


def do(step, quantity, reason="broken", **options):
    return step(level_id=the_level().pk, quantity=quantity, reason=reason, actor="ada", **options)


def figures():
    level = the_level()
    return level.on_hand, level.reserved, level.quarantined


# --- quarantine and scrap -----------------------------------------------------------------


def test_units_are_set_aside_looked_at_and_put_back_or_written_off():
    stocked(A={"york": 10})
    do(adjusting.quarantine_stock, 4)
    assert figures() == (6, 0, 4)
    do(adjusting.restock_quarantined, 1)
    assert figures() == (7, 0, 3)
    do(adjusting.scrap_stock, 3)
    assert figures() == (7, 0, 0)
    do(adjusting.scrap_stock, 2, bucket="on_hand")
    assert figures() == (5, 0, 0)
    assert list(books_off()) == []
    assert [type(e) for e in told(StockQuarantined, StockRestocked, StockScrapped)] == [
        StockQuarantined,
        StockRestocked,
        StockScrapped,
        StockScrapped,
    ]
    lines = StockMovement.objects.exclude(reason="receipt").order_by("pk")
    assert [(m.reason, m.bucket, m.delta) for m in lines] == [
        ("quarantine", "on_hand", -4),
        ("quarantine", "quarantined", 4),
        ("restock", "quarantined", -1),
        ("restock", "on_hand", 1),
        ("scrap", "quarantined", -3),
        ("scrap", "on_hand", -2),
    ]
    assert {(m.actor, m.note) for m in lines} == {("ada", "broken")}


@pytest.mark.parametrize(
    ("step", "quantity", "options", "reason"),
    [
        (adjusting.quarantine_stock, 5, {}, "6 of them reserved; 5 can't be taken away"),
        (adjusting.scrap_stock, 5, {"bucket": "on_hand"}, "5 can't be taken away"),
        (adjusting.scrap_stock, 1, {}, "0 in quarantine; 1 can't be taken"),
        (adjusting.restock_quarantined, 1, {}, "0 in quarantine; 1 can't be taken"),
        (adjusting.scrap_stock, 1, {"bucket": "in_transit"}, "from on_hand or from quarantined"),
        (adjusting.quarantine_stock, 0, {}, "whole number from 1"),
        (adjusting.quarantine_stock, -1, {}, "whole number from 1"),
        (adjusting.quarantine_stock, 0.5, {}, "whole number from 1"),
        (adjusting.quarantine_stock, 10**9 + 1, {}, "whole number from 1"),
        (adjusting.quarantine_stock, 1, {"reason": " "}, "needs a reason"),
    ],
)
def test_what_makes_no_sense_changes_nothing(step, quantity, options, reason):
    stocked(A={"york": 10})
    consume(placed(1, A=6))
    with pytest.raises(InvalidStockChange, match=reason):
        do(step, quantity, **options)
    assert figures() == (10, 6, 0)
    assert not StockMovement.objects.exclude(reason="receipt").exists()


def test_what_is_restocked_goes_to_those_who_wait():
    stocked(A={"york": 4})
    do(adjusting.quarantine_stock, 3)
    consume(placed(1, A=3))
    assert waiting() == [(1, "A", 2)]
    publish()
    do(adjusting.restock_quarantined, 3)
    follow()
    assert waiting() == []
    assert_nobody_waits_in_vain()


def test_an_adjustment_with_a_reference_is_made_once():
    stocked(A={"york": 10})
    for _ in range(2):
        adjusting.adjust_stock(
            level_id=the_level().pk, delta=-2, reason="broken", actor="ada", reference="scan 7"
        )
    assert levels("A") == {"york": (8, 0)}


# --- limits -------------------------------------------------------------------------------


def limits(**wanted):
    return adjusting.set_limits(level_id=the_level().pk, actor="ada", **wanted)


def test_limits_are_set_one_by_one_and_told_when_they_change():
    stocked(A={"york": 10})
    limits(safety_stock=3)
    limits(reorder_point=8)
    limits(reorder_point=8)
    level = the_level()
    assert (level.safety_stock, level.reorder_point) == (3, 8)
    assert [(e.safety_stock, e.reorder_point) for e in told(StockLimitsChanged)] == [(3, 0), (3, 8)]
    with pytest.raises(InvalidStockChange, match="whole number from 0"):
        limits(safety_stock=-1)


def test_less_safety_stock_serves_those_who_wait():
    stocked(A={"york": 10})
    limits(safety_stock=10)
    consume(placed(1, A=4))
    assert waiting() == [(1, "A", 4)]
    publish()
    limits(safety_stock=6)
    follow()
    assert waiting() == []
    assert levels("A") == {"york": (10, 4)}


def test_a_reorder_point_above_what_is_there_is_told_at_once_and_once():
    stocked(A={"york": 10})
    limits(reorder_point=11)
    limits(reorder_point=12)
    assert [(e.available, e.reorder_point) for e in told(StockLow)] == [(10, 11)]


# --- corrections --------------------------------------------------------------------------


def correct(**options):
    return correcting.correct_stock(
        level_id=the_level().pk, reason="found by verify", actor="ada", **options
    )


def behind_our_backs(**figures):
    StockLevel.objects.update(**figures)


def test_without_a_count_the_ledger_is_believed():
    stocked(A={"york": 10})
    behind_our_backs(on_hand=7)
    assert list(books_off()) == ["A in york: on hand 7, ledger 10, reserved 0, held reservations 0"]
    correct()
    assert figures() == (10, 0, 0)
    line = StockMovement.objects.get(reason="correction")
    assert (line.delta, line.actor) == (0, "ada")
    assert line.note == "found by verify (level 7, ledger 10)"
    assert told(StockCorrected)[0].on_hand == 10
    assert list(books_off()) == []


def test_a_count_is_believed_more_than_either():
    stocked(A={"york": 10})
    behind_our_backs(on_hand=7)
    correct(counted=8)
    assert figures() == (8, 0, 0)
    assert StockMovement.objects.get(reason="correction").delta == -2
    assert list(books_off()) == []


def test_a_ledger_below_zero_is_moved_to_the_level():
    stocked(A={"york": 10})
    level = the_level()
    StockMovement.objects.create(
        level=level, bucket="quarantined", delta=-3, reason="scrap", reference="?"
    )
    correct()
    assert figures() == (10, 0, 0)
    assert list(books_off()) == []


def test_what_is_reserved_becomes_what_is_held():
    stocked(A={"york": 10})
    consume(placed(1, A=4))
    behind_our_backs(reserved=9)
    correct()
    assert figures() == (10, 4, 0)
    assert list(books_off()) == []


def test_what_a_correction_frees_goes_to_those_who_wait():
    stocked(A={"york": 10})
    behind_our_backs(reserved=10)
    consume(placed(1, A=4))
    assert waiting() == [(1, "A", 4)]
    publish()
    correct()
    follow()
    assert_nobody_waits_in_vain()


def test_a_correction_takes_nothing_from_an_order():
    stocked(A={"york": 10})
    consume(placed(1, A=4))
    with pytest.raises(InvalidStockChange, match="3 would be on hand, but 4 are reserved"):
        correct(counted=3)
    with pytest.raises(correcting.NothingToCorrect, match="nothing to correct"):
        correct()
    assert figures() == (10, 4, 0)


def command(*arguments):
    out = StringIO()
    call_command("stock", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_command_finds_and_corrects():
    stocked(A={"york": 10}, B={"york": 1})
    assert "2 stock levels: the books balance." in command("verify")
    StockLevel.objects.filter(product__sku="A").update(on_hand=7)
    with pytest.raises(CommandError, match="1 stock levels are off"):
        command("verify")
    where = ["--warehouse", "york", "--sku", "A", "--reason", "verify", "--actor", "ada"]
    assert "A in york: 10 on hand, 0 reserved." in command("correct", *where)
    assert "the books balance" in command("verify")
    with pytest.raises(CommandError, match="nothing to correct"):
        command("correct", *where)
    where[3] = "NOPE"
    with pytest.raises(CommandError, match="There is no stock of NOPE in york"):
        command("correct", *where)
    assert "9 on hand" in command("correct", *where[:3], "A", *where[4:], "--counted", "9")


def test_verifying_looks_at_every_level_in_spans(monkeypatch):
    monkeypatch.setattr(selectors, "_SPAN", 2)
    stocked(**{f"A{n}": {"york": 5} for n in range(7)})
    StockLevel.objects.filter(product__sku__in=["A1", "A3", "A6"]).update(on_hand=4)
    seen: list[int] = []
    found = list(books_off(seen.append))
    assert [line.split()[0] for line in found] == ["A1", "A3", "A6"]
    assert seen == [2, 4, 6, 8]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_spans_cover_everything_once(monkeypatch, count):
    monkeypatch.setattr(selectors, "_SPAN", 2)
    stocked(**{f"A{n}": {"york": 5} for n in range(count)})
    StockLevel.objects.update(on_hand=4)
    assert len(list(books_off())) == count


def test_transfers_are_proposed_by_hand():
    stocked(A={"york": 1, "leeds": 50})
    StockLevel.objects.filter(warehouse__code="york").update(reorder_point=10)
    assert "1 transfers proposed." in command("propose-transfers")
    assert TransferLine.objects.count() == 1
    assert "0 transfers proposed." in command("propose-transfers")
