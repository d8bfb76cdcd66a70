"""One journey, one correlation id: from the request through every event it leads to."""

import threading
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from supplychain.events import context
from supplychain.events.context import Context, CorrelationMiddleware, current, using
from supplychain.events.outbox import emit
from tests.lab.events import Tried
from tests.lab.models import Thing

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def ask(**headers):
    """What a view sees, and the answer, for a request with these headers."""
    seen = []

    def view(request):
        seen.append(current())
        return HttpResponse("ok")

    request = RequestFactory().get(
        "/", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    answer = CorrelationMiddleware(view)(request)
    assert current() == Context()  # it ends with the request
    return seen[0], answer


@pytest.mark.parametrize("header", ["X_Correlation_ID", "X_Request_ID"])
def test_a_sent_id_is_taken_and_answered(header):
    seen, answer = ask(**{header: "order-77/a=b:c+d_e.f"})
    assert seen.correlation_id == "order-77/a=b:c+d_e.f"
    assert answer.headers["X-Correlation-ID"] == "order-77/a=b:c+d_e.f"


def test_the_correlation_id_goes_before_the_request_id():
    seen, _ = ask(X_Correlation_ID="journey", X_Request_ID="request")
    assert seen.correlation_id == "journey"


@pytest.mark.parametrize(
    "sent",
    ["", " ", "a b", "x" * 129, "a\r\nSet-Cookie: b", "<script>", "naïve\x00", "a;b", "a'b"],
)
def test_one_that_could_do_harm_is_replaced(sent):
    """It goes into logs, headers, JSON and a database column of 128."""
    seen, answer = ask(X_Correlation_ID=sent)
    assert UUID(seen.correlation_id).version == 7
    assert answer.headers["X-Correlation-ID"] == seen.correlation_id


def test_two_requests_without_an_id_are_two_journeys():
    assert ask()[0].correlation_id != ask()[0].correlation_id


@given(st.text())
def test_whatever_is_sent_the_id_is_safe(sent):
    seen, answer = ask(X_Correlation_ID=sent)
    assert 1 <= len(seen.correlation_id) <= 128
    assert seen.correlation_id.isprintable()
    assert answer.headers["X-Correlation-ID"] == seen.correlation_id


def test_a_traceparent_is_taken():
    assert ask(traceparent=TRACE)[0].traceparent == TRACE


@pytest.mark.parametrize("sent", ["", "nonsense", TRACE.upper(), TRACE + "0", TRACE[:-1]])
def test_what_is_no_traceparent_is_left_out(sent):
    assert ask(traceparent=sent)[0].traceparent is None


# --- from the context into events ---------------------------------------------------------


def tried(**how):
    with transaction.atomic():
        thing, _ = Thing.objects.get_or_create(name="anvil")
        return emit(Tried(thing="anvil", number=1), of=thing, **how)


@pytest.mark.django_db
def test_an_event_belongs_to_the_journey_it_is_emitted_in():
    with using(Context("journey", None, TRACE)):
        sealed = tried()
    assert (sealed.correlation_id, sealed.causation_id) == ("journey", None)
    assert sealed.traceparent == TRACE


@pytest.mark.django_db
def test_an_event_without_a_journey_begins_one():
    first, second = tried(), tried()
    assert UUID(first.correlation_id).version == 7
    assert first.correlation_id != second.correlation_id


@pytest.mark.django_db
def test_what_an_event_leads_to_belongs_to_its_journey():
    with using(Context("journey", None, TRACE)):
        cause = tried()
    with using(context.caused_by(cause)):
        effect = tried()
    assert (effect.correlation_id, effect.causation_id) == ("journey", cause.event_id)
    assert effect.traceparent == TRACE


@pytest.mark.django_db
def test_a_named_cause_goes_before_the_context():
    """In a batch the events of several journeys are handled in one transaction."""
    with using(Context("theirs")):
        cause = tried().open()
    with using(Context("mine", uuid4())):
        effect = tried(cause=cause)
        other = tried(correlation_id="said")
    assert effect.correlation_id == "theirs"
    assert effect.causation_id == cause.envelope.event_id
    assert other.correlation_id == "said"


def test_a_context_is_its_threads_own_and_ends_also_with_an_error():
    seen = []
    with pytest.raises(RuntimeError), using(Context("mine")):
        other = threading.Thread(target=lambda: seen.append(current()))
        other.start()
        other.join()
        raise RuntimeError
    assert seen == [Context()]
    assert current() == Context()
