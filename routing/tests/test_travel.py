"""Travel times: the estimate, and a map server that is well, ill, or away."""

import gzip
import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from routing import road
from routing.problem import NO_WAY, Place
from routing.road import Roads, provider
from routing.travel import Estimate, matrices, travel

from .problems import LEEDS, YORK, stop

PLACES = [YORK, LEEDS.place, Place(53.99, -1.54)]


# --- the estimate -------------------------------------------------------------------------


def test_distances_and_speeds_are_plausible():
    metres, seconds = matrices([YORK, LEEDS.place])
    assert 38_000 < metres[0, 1] < 55_000  # by road about 40 km
    assert 35 * 60 < seconds[0, 1] < 70 * 60
    assert metres[0, 1] == metres[1, 0] and metres[0, 0] == seconds[0, 0] == 0


def test_a_longer_way_takes_longer():
    places = [YORK, *(stop(n, north=0.001 * 1.4**n).place for n in range(20))]
    _, seconds = matrices(places)
    row = list(seconds[0])
    assert row == sorted(row)


def test_no_way_leads_to_what_is_not_on_earth():
    metres, seconds = matrices([YORK, Place(float("nan"), 0), Place(91, 0)])
    assert (metres[0, 1:] == NO_WAY).all() and (seconds[1:, 0] == NO_WAY).all()


def test_many_places_are_measured_in_parts():
    places = [stop(n, 0.001 * n).place for n in range(1100)]
    metres, _ = matrices(places)
    assert metres.shape == (1100, 1100)
    for a, b in ((0, 1099), (600, 3), (1050, 1050)):
        assert metres[a, b] == matrices([places[a], places[b]])[0][0, 1]


# --- a map server -------------------------------------------------------------------------


class Server:
    """Answers like OSRM, from a made-up country where a degree is 100 km and 100 minutes, unless
    it is told to say or do something else."""

    def __init__(self):
        self.asked: list[str] = []
        self.says: Any = None
        self.does: Any = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                (outer.does or outer.answer)(self)

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, handler):
        body = self.says if self.says is not None else self.table(handler.path)
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def table(self, path):
        parts = urlsplit(path)
        assert parts.path.startswith("/table/v1/driving/")
        points = [tuple(map(float, p.split(","))) for p in parts.path.split("/")[-1].split(";")]
        query = parse_qs(parts.query)
        assert query["annotations"] == ["duration,distance"]
        rows = [points[int(n)] for n in query["sources"][0].split(";")]
        columns = [points[int(n)] for n in query["destinations"][0].split(";")]
        away = [[abs(a[0] - b[0]) + abs(a[1] - b[1]) for b in columns] for a in rows]
        return {
            "code": "Ok",
            "durations": [[6000 * d for d in row] for row in away],
            "distances": [[100_000 * d for d in row] for row in away],
        }

    def close(self):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def is_estimate(found, places=PLACES):
    return all((a == b).all() for a, b in zip(found, matrices(places), strict=True))


def test_the_roads_of_the_server_are_used(server):
    found = travel(PLACES, Roads(server.url).within(5))
    assert found.metres[0, 1] == pytest.approx(63_000, abs=1)
    assert found.seconds[1, 0] == pytest.approx(3780, abs=1)


def test_many_places_are_asked_for_in_chunks_and_only_once(server, monkeypatch):
    monkeypatch.setattr(road, "CHUNK", 4)
    places = [stop(n, 0.01 * n).place for n in range(10)]
    roads = Roads(server.url).within(5)
    metres, _ = roads.table(places, places)
    assert len(server.asked) == 9
    assert metres[2, 9] == pytest.approx(7000, abs=1)
    more = [*places, LEEDS.place]
    again, _ = roads.table(more, more)
    assert (again[:10, :10] == metres).all()
    assert len(server.asked) < 9 + 9
    before = len(server.asked)
    roads.table(more, more)
    assert len(server.asked) == before


def test_what_is_remembered_stays_small(server, monkeypatch):
    monkeypatch.setattr(road, "REMEMBERED", 3)
    roads = Roads(server.url).within(5)
    other = [stop(n, 0.1 * n).place for n in range(3)]
    for places in (PLACES, other, PLACES):
        metres, _ = roads.table(places, places)
        assert (metres == travel(places, Roads(server.url).within(5)).metres).all()


def test_guests_do_not_drive_out_the_places_of_a_plan(server, monkeypatch):
    monkeypatch.setattr(road, "REMEMBERED", 5)
    roads = Roads(server.url).within(5)
    found = roads.table(PLACES, PLACES)
    for n in range(6):
        guest = [stop(n, north=0.2 + 0.1 * n).place]
        metres, _ = roads.table(PLACES, guest)
        assert (metres == Roads(server.url).within(5).table(PLACES, guest)[0]).all()
    asked = len(server.asked)
    again = roads.table(PLACES, PLACES)
    assert all((a == b).all() for a, b in zip(found, again, strict=True))
    assert len(server.asked) == asked


def test_a_place_the_server_finds_no_way_to_has_none(server):
    row = [0, None]
    server.says = {"code": "Ok", "durations": [row, row], "distances": [row, row]}
    metres, seconds = Roads(server.url).within(5).table(PLACES[:2], PLACES[:2])
    assert metres.tolist() == seconds.tolist() == [[0, NO_WAY], [0, NO_WAY]]


def test_nobody_asks_for_what_is_not_on_earth(server):
    places = [YORK, Place(float("nan"), 0)]
    metres, _ = Roads(server.url).within(5).table(places, places)
    assert metres[0, 1] == NO_WAY
    assert "nan" not in server.asked[0]


SQUARE = [[0, 1, 2], [1, 0, 2], [2, 1, 0]]


def _with(**changes):
    return {"code": "Ok", "durations": SQUARE, "distances": SQUARE, **changes}


@pytest.mark.parametrize(
    ("rubbish", "why"),
    [
        (b"", "JSONDecodeError"),
        (b"<html>", "JSONDecodeError"),
        (b"[" * 100_000, "RecursionError"),
        (b"\xff\xfe\x00", "UnicodeDecodeError"),
        ([], "does not say Ok"),
        (None, "does not say Ok"),
        (_with(code="NoTable"), "does not say Ok"),
        (_with(durations=None), "durations is not a table of 3 × 3"),
        (_with(distances=[[0, 1], [1, 0]]), "distances is not a table of 3 × 3"),
        (_with(distances=[*SQUARE[:2], [1, 2]]), "distances is not a table of 3 × 3"),
        (_with(durations=[*SQUARE[:2], "abc"]), "durations is not a table"),
        (_with(durations=[*SQUARE[:2], [1, 2, "3"]]), "durations is not a table"),
        (_with(durations=[*SQUARE[:2], [1, 2, True]]), "durations is not a table"),
        (_with(durations=[*SQUARE[:2], [1, 2, float("nan")]]), "durations is not a table"),
        (_with(distances=[*SQUARE[:2], [1, 2, float("inf")]]), "distances is not a table"),
        (_with(durations=[*SQUARE[:2], [1, -2, 0]]), "durations contains a negative number"),
        (b" " * 5_000_000, "the answer is too long"),
    ],
)
def test_rubbish_is_replaced_by_the_estimate_and_the_log_says_why(server, caplog, rubbish, why):
    server.says = json.dumps(rubbish).encode() if rubbish is None else rubbish
    with caplog.at_level(logging.WARNING):
        assert is_estimate(Roads(server.url).within(5).table(PLACES, PLACES))
    assert why in caplog.text
    assert "Travel times are estimated" in caplog.text


def test_an_error_or_a_redirect_is_none_of_its_tables(server, caplog):
    for status in (500, 429, 302):
        server.does = lambda handler, status=status: handler.send_error(status)
        assert is_estimate(Roads(server.url).within(5).table(PLACES, PLACES))
        assert f"HTTP {status}" in caplog.text


def test_nobody_is_asked_whom_the_server_points_to(server, caplog):
    """It could be any host of the network."""
    elsewhere = Server()

    def point(handler):
        handler.send_response(307)
        handler.send_header("Location", f"{elsewhere.url}{handler.path}")
        handler.end_headers()

    server.does = point
    try:
        assert is_estimate(Roads(server.url).within(5).table(PLACES, PLACES))
        assert elsewhere.asked == []
    finally:
        elsewhere.close()
    assert "HTTP 307" in caplog.text


def _pack(handler):
    """A few kB that unpack to more than anybody wants to keep."""
    packed = gzip.compress(b" " * 100_000_000)
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(packed)


def _boast(handler):
    """Promises a length that never comes."""
    handler.send_response(200)
    handler.send_header("Content-Length", "9" * 15)
    handler.end_headers()
    handler.wfile.write(b"{}")


@pytest.mark.parametrize(
    ("ill", "why"), [(_pack, "the answer is too long"), (_boast, "IncompleteRead")]
)
def test_an_answer_that_is_not_what_it_seems_is_none(server, caplog, ill, why):
    server.does = ill
    assert is_estimate(Roads(server.url).within(5).table(PLACES, PLACES))
    assert why in caplog.text


def _drip(handler):
    """One byte now and then, for ever; each in time for a socket's time-out."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass


def _hang(handler):
    handler.rfile.read(1)


@pytest.mark.parametrize("ill", [_drip, _hang])
def test_a_server_that_hangs_is_not_waited_for(server, caplog, ill):
    server.does = ill
    began = time.monotonic()
    assert is_estimate(Roads(server.url).within(0.3).table(PLACES, PLACES))
    assert time.monotonic() - began < 5
    assert "imeout" in caplog.text or "timed out" in caplog.text


def test_a_table_has_one_time_for_all_its_requests(server, monkeypatch, caplog):
    """However many there are: here nine, of which each is in time by itself."""
    monkeypatch.setattr(road, "CHUNK", 4)
    places = [stop(n, 0.01 * n).place for n in range(10)]
    honest = server.answer

    def slowly(handler):
        time.sleep(0.2)
        honest(handler)

    server.does = slowly
    assert is_estimate(Roads(server.url).within(0.7).table(places, places), places)
    assert len(server.asked) < 9


def test_a_server_that_is_away_is_left_alone_for_a_while(server, monkeypatch, caplog):
    roads = Roads(server.url).within(5)
    server.says = b"ill"
    for _ in range(road.BREAKER + 3):
        assert is_estimate(roads.table(PLACES, PLACES))
    assert len(server.asked) == road.BREAKER
    server.says = None
    monkeypatch.setattr(road, "PAUSE", 0.0)
    roads.roads._circuit._until.clear()
    assert not is_estimate(roads.table(PLACES, PLACES))


def test_what_one_has_asked_another_who_waits_less_need_not_ask(server):
    roads = Roads(server.url)
    found = roads.within(5).table(PLACES, PLACES)
    asked = len(server.asked)
    server.says = b"ill"
    for patience in (1, 9):
        again = roads.within(patience).table(PLACES, PLACES)
        assert all((a == b).all() for a, b in zip(found, again, strict=True))
    assert len(server.asked) == asked


def test_what_is_remembered_is_used_while_the_server_is_left_alone(server):
    roads = Roads(server.url).within(5)
    found = roads.table(PLACES[:2], PLACES[:2])
    server.says = b"ill"
    for _ in range(road.BREAKER):
        assert is_estimate(roads.table(PLACES, PLACES))
    again = roads.table(PLACES[:2], PLACES[:2])
    assert all((a == b).all() for a, b in zip(found, again, strict=True))


def test_who_waits_longer_is_not_kept_from_asking_by_who_can_not_wait(server, caplog):
    roads = Roads(server.url)
    server.says = b"ill"
    for _ in range(road.BREAKER + 1):
        roads.within(1).table(PLACES, PLACES)
    assert len(server.asked) == road.BREAKER
    for _ in range(road.BREAKER):
        roads.within(9).table(PLACES, PLACES)
    assert len(server.asked) == 2 * road.BREAKER
    server.says = None
    for patience in (1, 5, 9):
        assert is_estimate(roads.within(patience).table(PLACES, PLACES))
    assert not is_estimate(roads.within(20).table(PLACES, PLACES))


def test_nobody_listens(caplog):
    assert is_estimate(Roads("http://127.0.0.1:9/").within(5).table(PLACES, PLACES))
    assert "ConnectionError" in caplog.text


def test_there_is_one_provider_for_each_server():
    assert isinstance(provider("", 1.0), Estimate)
    assert provider("http://x", 1.0) == provider("http://x", 1.0)
    assert provider("http://x", 1.0).roads is provider("http://x", 9.0).roads


def test_a_table_of_nothing_is_not_asked_for(server):
    for starts, ends in ((PLACES, []), ([], PLACES)):
        assert Roads(server.url).within(5).table(starts, ends)[0].shape == (len(starts), len(ends))
    assert server.asked == []


def test_a_table_may_be_wider_than_high(server):
    metres, seconds = Roads(server.url).within(5).table(PLACES[:1], PLACES)
    assert metres.shape == seconds.shape == (1, 3)
    assert np.array_equal(Estimate().table(PLACES, PLACES[:1])[0].T, matrices(PLACES)[0][:1])
