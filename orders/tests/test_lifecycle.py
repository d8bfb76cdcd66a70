"""Where an order stands by the facts, and how it gets there: pure functions."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.lifecycle import CANCELLABLE, FINAL, TRANSITIONS, derive, path
from orders.models import OrderShipment, Status

statuses = st.sampled_from(Status.values)
states = st.lists(st.sampled_from(OrderShipment.State.values), max_size=6)


def stands(*states):
    """The status of an order whose stock is all reserved."""
    return derive(quantity=4, reserved=4, outstanding=0, states=states)


@pytest.mark.parametrize(
    ("reserved", "outstanding", "status"),
    [
        (0, None, "placed"),
        (0, 4, "backordered"),
        (1, 3, "partially_reserved"),
        (4, 0, "reserved"),
        (1, 0, "partially_reserved"),  # the filled backorder is known, the first part not yet
    ],
)
def test_stock_decides_first(reserved, outstanding, status):
    known = ["delivered"] if reserved else []
    assert status == derive(
        quantity=4,
        reserved=reserved,
        outstanding=outstanding,
        states=["reserved"] if status == "reserved" else known,
    )


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["reserved"], "reserved"),
        (["planned"], "planned"),
        (["dispatched"], "dispatched"),
        (["delivered"], "delivered"),
        (["failed"], "delivery_failed"),
        (["returned"], "returned"),
        (["cancelled"], "reserved"),
        (["delivered", "cancelled"], "delivered"),
        (["planned", "reserved"], "reserved"),
        (["delivered", "planned"], "planned"),
        (["delivered", "dispatched"], "dispatched"),
        (["failed", "reserved"], "reserved"),
        (["failed", "planned"], "planned"),
        (["failed", "dispatched"], "delivery_failed"),
        (["failed", "delivered"], "delivery_failed"),
        (["failed", "returned"], "delivery_failed"),
        (["returned", "planned"], "planned"),
        (["returned", "dispatched"], "delivery_failed"),
        (["returned", "delivered"], "returned"),
    ],
    ids=" ".join,
)
def test_then_the_least_advanced_shipment(states, status):
    assert stands(*states) == stands(*states[::-1]) == status


@given(states)
def test_an_order_never_claims_that_all_has_left_while_something_has_not(states):
    if {"reserved", "planned"} & set(states):
        assert stands(*states) in (Status.RESERVED, Status.PLANNED)


@given(statuses, statuses)
def test_a_path_takes_allowed_steps_only(current, target):
    steps = path(current, target)
    assert all(after in TRANSITIONS[before] for before, after in pairwise([current, *steps]))
    assert not steps or steps[-1] == target


@pytest.mark.parametrize(
    ("current", "target", "steps"),
    [
        ("placed", "placed", []),
        ("placed", "delivered", ["reserved", "planned", "dispatched", "delivered"]),
        ("placed", "backordered", ["backordered"]),
        ("backordered", "planned", ["reserved", "planned"]),
        ("dispatched", "planned", ["delivery_failed", "planned"]),
        ("planned", "reserved", []),
        ("delivered", "returned", []),
    ],
)
def test_a_path_is_the_shortest(current, target, steps):
    assert path(current, target) == steps


def test_what_is_cancellable_and_what_is_the_end():
    assert sorted(FINAL) == ["cancelled", "delivered", "rejected", "returned"]
    assert sorted(CANCELLABLE) == [
        "backordered",
        "partially_reserved",
        "placed",
        "planned",
        "reserved",
    ]
    assert set(TRANSITIONS) == set(Status.values)
