"""docs/events.md says what the event classes and consumers say."""

import os
import re
import subprocess
import sys

import pytest

from conftest import ROOT

PAGE = ROOT / "docs" / "events.md"


def catalogue(*arguments):
    """Under the project's own settings: those of the tests know the lab's events, too."""
    return subprocess.run(
        [sys.executable, "manage.py", "event_catalogue", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "SUPPLYCHAIN_NO_DOTENV": "1",
            "DATABASE_URL": "sqlite://:memory:",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    file = tmp_path_factory.mktemp("docs") / "new" / "events.md"
    written = catalogue("--file", str(file))
    assert written.returncode == 0, written.stderr
    return file.read_text()


def test_the_page_in_the_project_is_up_to_date():
    done = catalogue("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_is_the_same_each_time(page):
    assert page == PAGE.read_text()


@pytest.mark.parametrize("change", [lambda text: text + "\nmine\n", lambda text: text[:-20], None])
def test_one_that_is_out_of_date_or_missing_is_told_in_a_sentence(page, tmp_path, change):
    file = tmp_path / "events.md"
    if change:
        file.write_text(change(page))
    done = catalogue("--check", "--file", str(file))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"{file} is not what the event classes and consumers say now" in done.stderr
    assert "python manage.py event_catalogue" in done.stderr
    assert file.exists() is bool(change)  # a check writes nothing


def test_it_says_of_an_event_all_that_a_stranger_needs(page):
    section = page.partition("### `inventory.backorder_filled`")[2].partition("\n### ")[0]
    assert "Stock has come in for an order that waited for it" in section
    assert "`shipments` are only the new ones" in section  # what its base class says
    assert "Version 1 · about `order/{order_id}` · owned by inventory · personal data" in section
    assert "| `order_id` | UUID |  |" in section
    assert "| `requested_from` | time or null | `null` |" in section
    assert "list of [`inventory.ReservedShipment`](#inventoryreservedshipment)" in section
    assert "- `orders.advance_orders` from the queue `orders`: " in section
    assert "- `routing.register_shipments` from the queue `routing`: " in section


def test_every_link_leads_to_a_heading(page):
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    links = set(re.findall(r"\(#([^)]+)\)", page))
    assert len(links) > 30
    assert links <= anchors
    assert len(headings) == len(set(headings))


def test_events_of_the_tests_are_not_in_it(page):
    assert "lab." not in page
