"""Photos that prove how a stop ended: what is kept of them, for whom and for how long."""

import io
import struct
import zlib
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError
from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from routing import driving, proofs, tasks
from routing.driving import Proof, ShipmentRecalled, StopNotPending
from routing.models import MAX_PHOTOS, ProofPhoto, Route, Shipment, Stop
from routing.proofs import LONGEST_SIDE, MAX_UPLOAD, Photo, UnusablePhoto, read_photo

from .conftest import (
    Holding,
    at_once,
    blocked_sessions,
    books_balance,
    cancelled,
    data_of,
    eventually,
    hear,
    planned_route,
    state,
    stop_of,
    told,
)

pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1"
#: Pillow says of some damage that it found it, and goes on.
QUIET = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def picture(width=60, height=40, kind="JPEG", mode="RGB", **options):
    """Red above, blue below."""
    image = Image.new(mode, (width, height), "red")
    ImageDraw.Draw(image).rectangle((0, height // 2, width, height), fill="blue")
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def with_exif(orientation=1, **size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Camera maker"
    exif.get_ifd(0x8825)[2] = (53.0, 57.0, 36.0)  # where it was taken
    return picture(exif=exif.tobytes(), comment=b"my home", **size)


def opened(photo):
    image = Image.open(io.BytesIO(photo.data))
    assert (image.format, image.size) == ("JPEG", (photo.width, photo.height))
    return image


def is_red(pixel):
    return pixel[0] > 200 and pixel[2] < 60


@pytest.fixture
def on_its_way():
    return driving.dispatch_route(route_id=planned_route(2).pk)


def send(client, act, stop, *photos, **fields):
    files = [SimpleUploadedFile("1.jpg", photo, "image/jpeg") for photo in photos]
    path = f"{API}/stops/{stop.pk}/{act}/"
    response = client.post(path, {**fields, **({"photo": files} if files else {})})
    return response.status_code, response.json()


# --- what is kept -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_kept_as_a_jpeg_of_our_own(kind):
    photo = read_photo(picture(kind=kind))
    assert (photo.width, photo.height) == (60, 40)
    assert is_red(opened(photo).getpixel((30, 5)))


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        ((4000, 3000), (1600, 1200)),
        ((100, 8000), (20, 1600)),
        ((1600, 1600), (1600, 1600)),
        ((8000, 5333), (1600, 1067)),
        ((1, 1), (1, 1)),
    ],
)
def test_a_large_photo_is_made_smaller_and_a_small_one_stays(size, kept):
    photo = read_photo(picture(*size))
    assert (photo.width, photo.height) == kept
    assert max(kept) <= LONGEST_SIDE
    assert opened(photo).size == kept


@pytest.mark.parametrize(
    ("orientation", "size", "top"), [(1, (60, 40), True), (3, (60, 40), False), (6, (40, 60), None)]
)
def test_a_photo_stands_upright(orientation, size, top):
    image = opened(read_photo(with_exif(orientation)))
    assert image.size == size
    if top is None:  # turned by a quarter: red is at the right
        assert is_red(image.getpixel((size[0] - 3, 30))) and not is_red(image.getpixel((3, 30)))
    else:
        assert is_red(image.getpixel((30, 3))) == top


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nothing_that_the_camera_wrote_is_kept(kind):
    """Where somebody lives is not to be read out of their proof of delivery."""
    exif = Image.Exif()
    exif[0x010F] = "Camera maker"
    data = picture(kind=kind, exif=exif.tobytes())
    if kind == "JPEG":
        data = with_exif()
        assert b"my home" in data
    assert b"Camera maker" in data
    image = opened(read_photo(data))
    assert not image.getexif()
    assert not {"exif", "comment", "icc_profile", "xmp"} & set(image.info)
    assert b"Camera maker" not in read_photo(data).data


@QUIET
def test_a_photo_whose_notes_are_damaged_is_kept_as_it_lies():
    data = picture(exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x05garbage")
    assert read_photo(data).width == 60


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGBA", "PNG"), ("P", "PNG"), ("L", "PNG"), ("CMYK", "JPEG")]
)
def test_pictures_of_all_kinds_become_plain(mode, kind):
    out = io.BytesIO()
    Image.new(mode, (20, 10)).save(out, kind)
    image = opened(read_photo(out.getvalue()))
    assert image.mode == "RGB"


def test_what_is_transparent_is_white():
    out = io.BytesIO()
    Image.new("RGBA", (20, 10), (0, 0, 0, 0)).save(out, "PNG")
    assert opened(read_photo(out.getvalue())).getpixel((5, 5)) == (255, 255, 255)


# --- what is refused ----------------------------------------------------------------------


def huge_png(width, height):
    """A few bytes that say that they are a picture of so many pixels."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def gif():
    return picture(kind="GIF")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "neither"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "neither"),
        (gif(), "neither a JPEG nor"),
        (b"%PDF-1.7", "neither"),
        (picture(400, 400)[:-2000], "damaged"),
        (bytes(MAX_UPLOAD + 1), "8,000,001 bytes"),
        (huge_png(9000, 9000), "million pixels"),
        (huge_png(4001, 3000), "Only a plain JPEG"),
        (picture(4001, 3000, kind="WEBP"), "Only a plain JPEG"),
        (picture(4001, 3000, progressive=True), "Only a plain JPEG"),
        (huge_png(10_000, 9_500), "million pixels"),
        (huge_png(60_000, 60_000), "million pixels"),
    ],
    ids=[
        *("empty", "svg", "gif", "pdf", "cut off", "too long", "large"),
        *("large png", "large webp", "progressive", "warned of", "bomb"),
    ],
)
def test_what_is_no_photo_is_refused_with_the_reason(data, why):
    with pytest.raises(UnusablePhoto, match=why):
        read_photo(data)


def test_only_one_picture_is_decoded_at_a_time():
    """A process of many threads would need the memory of all of them at once."""
    with proofs._one_at_a_time:
        waits = Holding.start(lambda: read_photo(picture()))
        with pytest.raises(TimeoutError):
            waits.result(0.2)
    assert waits.result(20).width == 60


@QUIET
@given(st.data())
def test_a_damaged_photo_is_kept_or_refused_and_nothing_else(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP"]))
    whole = bytearray(with_exif() if kind == "JPEG" else picture(kind=kind))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        photo = read_photo(bytes(whole))
    except UnusablePhoto:
        return
    opened(photo).load()


def test_the_api_refuses_a_photo_and_nothing_has_happened(staff, on_its_way):
    stop, before = stop_of(1), told()
    status, body = send(staff, "deliver", stop, picture(), b"not a photo", proof_name="Ann")
    assert status == 400
    assert [error["field"] for error in body["errors"]] == ["photo[1]"]
    assert "neither a JPEG" in body["errors"][0]["reason"]
    status, body = send(staff, "fail", stop, *[picture()] * (MAX_PHOTOS + 1), reason="nobody in")
    assert status == 400 and body["errors"][0]["field"] == "photo"
    assert (stop_of(1).state, told(), ProofPhoto.objects.count()) == ("pending", before, 0)


def test_only_uploads_may_be_longer_than_other_bodies(staff, on_its_way, settings):
    settings.API_MAX_BODY = 2000
    stop = stop_of(1)
    path = f"{API}/stops/{stop.pk}/deliver/"
    long = staff.post(path, {"proof_name": "x" * 3000}, content_type="application/json")
    assert long.status_code == 413 and "2,000 bytes" in long.json()["errors"][0]["reason"]
    big = picture(3000, 2000, kind="PNG", compress_level=0)
    assert len(big) > MAX_UPLOAD
    status, body = send(staff, "deliver", stop, big, proof_name="Ann")
    assert status == 400 and "8,000,000" in body["errors"][0]["reason"]
    assert send(staff, "deliver", stop, picture(800, 600), proof_name="Ann")[0] == 200


def test_more_than_all_photos_together_may_have_is_not_read(staff, on_its_way):
    stop = stop_of(1)
    parts = [SimpleUploadedFile("1.jpg", bytes(MAX_UPLOAD + 1_000_000)) for _ in range(MAX_PHOTOS)]
    response = staff.post(f"{API}/stops/{stop.pk}/deliver/", {"photo": parts})
    assert response.status_code == 413


# --- with the end of the stop --------------------------------------------------------------


def test_photos_are_kept_with_the_stop_and_the_event_says_so(staff, on_its_way):
    status, shown = send(
        staff,
        "deliver",
        stop_of(1),
        picture(),
        picture(30, 30),
        proof_name="Ann",
        reference=str(uuid4()),
    )
    assert status == 200
    stop = stop_of(1)
    assert (stop.state, stop.proof_name) == ("delivered", "Ann")
    photos = list(stop.photos.all())
    assert [(p.number, p.width, p.height) for p in photos] == [(1, 60, 40), (2, 30, 30)]
    shown = next(row for row in shown["stops"] if row["id"] == str(stop.pk))
    assert shown["photos"] == [str(photo.pk) for photo in photos]
    tale = data_of("stop_delivered")[0]
    assert (tale["proof_name"], tale["photos"]) == ("Ann", 2)


def test_a_failed_stop_may_have_a_photo_too(staff, on_its_way):
    assert send(staff, "fail", stop_of(1), picture(), reason="nobody in")[0] == 200
    assert stop_of(1).photos.count() == 1
    assert data_of("stop_failed")[0]["photos"] == 1


def test_without_the_stops_end_there_is_no_photo(on_its_way):
    photo = read_photo(picture())
    with pytest.raises(UnusablePhoto, match="at most 3"):
        driving.deliver_stop(stop_id=stop_of(1).pk, proof=Proof(photos=[photo] * 4))
    broken = Photo(photo.data, -1, 40)
    with pytest.raises(DatabaseError):
        driving.deliver_stop(stop_id=stop_of(1).pk, proof=Proof(photos=[broken]))
    assert (stop_of(1).state, ProofPhoto.objects.count()) == ("pending", 0)
    assert "stop_delivered" not in told()


# --- the same answer again -----------------------------------------------------------------


def test_an_answer_that_is_sent_twice_counts_once(staff, on_its_way):
    """Its first answer was lost on the way back to the phone."""
    said = {"proof_name": "Ann", "reference": str(uuid4())}
    first = send(staff, "deliver", stop_of(1), picture(), **said)
    before, ended = told(), stop_of(1).ended_at
    again = send(staff, "deliver", stop_of(1), picture(), **said)
    assert first == again and first[0] == 200
    assert (told(), stop_of(1).ended_at, ProofPhoto.objects.count()) == (before, ended, 1)


def test_the_last_answer_of_a_route_that_is_sent_twice_counts_once(staff, on_its_way):
    driving.deliver_stop(stop_id=stop_of(1).pk)
    said = {"reason": "nobody in", "reference": str(uuid4())}
    assert send(staff, "fail", stop_of(2), **said)[1]["state"] == "completed"
    before = told()
    assert send(staff, "fail", stop_of(2), **said)[0] == 200
    assert told() == before


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("deliver", {"proof_name": "Bob", "reference": "same"}),
        ("deliver", {"proof_name": "Ann", "reference": "other"}),
        ("deliver", {"proof_name": "Ann"}),
        ("fail", {"reason": "nobody in", "reference": "same"}),
        ("fail", {"reason": "nobody in", "reference": "other"}),
    ],
)
def test_another_answer_to_a_stop_that_has_ended_is_refused(staff, on_its_way, act, said):
    references = {"same": str(uuid4()), "other": str(uuid4())}
    first = {"proof_name": "Ann", "reference": references["same"]}
    assert send(staff, "deliver", stop_of(1), **first)[0] == 200
    before = told()
    if "reference" in said:
        said = {**said, "reference": references[said["reference"]]}
    status, body = send(staff, act, stop_of(1), picture(), **said)
    assert status == 409
    assert "ended already: it was answered as delivered" in body["errors"][0]["reason"]
    assert (told(), stop_of(1).proof_name, ProofPhoto.objects.count()) == (before, "Ann", 0)


def test_one_answer_sent_by_several_at_once_counts_once(on_its_way):
    proof = Proof(photos=[read_photo(picture())], reference=uuid4())
    stop = stop_of(1).pk
    results = at_once(
        *[lambda: driving.deliver_stop(stop_id=stop, proof_name="Ann", proof=proof)] * 5
    )
    assert all(isinstance(result, Stop) for result in results), results
    assert told().count("stop_delivered") == 1
    assert ProofPhoto.objects.count() == 1
    books_balance()


def test_of_two_phones_that_end_a_stop_at_once_one_is_heard(on_its_way):
    photo, stop = read_photo(picture()), stop_of(1).pk

    def answers(name):
        proof = Proof(photos=[photo], reference=uuid4())
        return lambda: driving.deliver_stop(stop_id=stop, proof_name=name, proof=proof)

    results = at_once(answers("Ann"), answers("Bob"), answers("Cy"))
    assert sum(isinstance(result, StopNotPending) for result in results) == 2
    assert told().count("stop_delivered") == 1
    assert ProofPhoto.objects.count() == 1
    winner = next(result for result in results if isinstance(result, Stop))
    assert data_of("stop_delivered")[0]["proof_name"] == stop_of(1).proof_name == winner.proof_name
    books_balance()


def test_an_order_that_is_cancelled_while_the_driver_taps_is_not_handed_over(staff, on_its_way):
    """The cancellation holds the shipment when the answer comes, which waits and hears of it."""
    stop = stop_of(1)
    holding = Holding(lambda: hear(cancelled(1)))
    proof = Proof(photos=[read_photo(picture())], reference=uuid4())
    tapped = Holding.start(
        lambda: driving.deliver_stop(stop_id=stop.pk, proof_name="Ann", proof=proof)
    )
    eventually(lambda: blocked_sessions() or tapped.done())
    holding.let_go()
    with pytest.raises(ShipmentRecalled, match="do not hand it over, bring it back"):
        tapped.result(20)
    assert (stop_of(1).state, state(1), ProofPhoto.objects.count()) == ("pending", "dispatched", 0)
    assert send(staff, "fail", stop, reason="recalled", reference=str(proof.reference))[0] == 200
    assert state(1) == "returned"
    books_balance()


# --- told late -----------------------------------------------------------------------------


def test_what_a_phone_could_send_only_later_happened_when_it_happened(staff, on_its_way):
    before = timezone.now()
    assert send(staff, "deliver", stop_of(1), seconds_ago="3600")[0] == 200
    ended = stop_of(1).ended_at
    assert ended is not None
    assert before - timedelta(hours=1) <= ended <= timezone.now() - timedelta(minutes=59)
    assert data_of("stop_delivered")[0]["delivered_at"][:16] == ended.isoformat()[:16]


@pytest.mark.parametrize("late", [0, 5])
def test_who_is_on_time_is_not_late_because_the_network_was(staff, late):
    """Stops answered in time, but sent together hours later: nobody is told of a delay. Nor when
    the vehicle left some seconds late."""
    route, hours = planned_route(2), timedelta(hours=5)
    Route.objects.update(starts_at=timezone.now() - timedelta(seconds=late))
    driving.dispatch_route(route_id=route.pk)
    route.stops.update(eta=F("eta") - hours, planned_eta=None)
    Shipment.objects.update(told_eta=F("told_eta") - hours)
    assert send(staff, "deliver", stop_of(1), seconds_ago=str(int(hours.total_seconds())))[0] == 200
    assert "eta_changed" not in told()
    assert stop_of(2).eta < timezone.now() - timedelta(hours=4)


@pytest.mark.parametrize("ago", ["-1", "604801", "soon"])
def test_no_answer_tells_of_the_future_or_of_long_ago(staff, on_its_way, ago):
    status, body = send(staff, "deliver", stop_of(1), seconds_ago=ago)
    assert status == 400 and body["errors"][0]["field"] == "seconds_ago"


# --- who sees them -------------------------------------------------------------------------


def employed(role):
    user = User.objects.create_user(role, is_staff=role != "drivers")
    user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture
def photo(on_its_way):
    proof = Proof(photos=[read_photo(picture())])
    return driving.deliver_stop(stop_id=stop_of(1).pk, proof=proof).photos.get()


def test_a_photo_is_served_to_those_who_may_see_the_stop(client, photo):
    client.force_login(employed("dispatchers"))
    answer = client.get(reverse("proof-photo", args=[photo.pk]))
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/jpeg")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"].startswith("private")
    assert answer.content == bytes(photo.image)
    image_tag = client.get(
        reverse("proof-photo", args=[photo.pk]), headers={"accept": "image/webp,image/*,*/*;q=0.8"}
    )
    assert image_tag["Content-Type"] == "image/jpeg"
    missing = client.get(reverse("proof-photo", args=[UUID(int=1)]))
    assert missing.status_code == 404 and missing.json()["errors"]


@pytest.mark.parametrize("who", ["nobody", "a channel", "drivers", "warehouse staff", "operators"])
def test_nobody_else_sees_a_photo(client, photo, who):
    if who == "a channel":
        client.force_login(User.objects.create_user("channel"))
    elif who != "nobody":
        client.force_login(employed(who))
    answer = client.get(reverse("proof-photo", args=[photo.pk]))
    assert answer.status_code == (401 if who == "nobody" else 403)
    assert bytes(photo.image) not in answer.content


@pytest.mark.filterwarnings("ignore:No directory at")
def test_the_admin_links_the_photos_of_a_route(admin_client, photo, django_assert_num_queries):
    page = admin_client.get(reverse("admin:routing_route_change", args=[photo.stop.route_id]))
    assert reverse("proof-photo", args=[photo.pk]) in page.content.decode()


# --- for how long --------------------------------------------------------------------------


def test_photos_are_forgotten_when_they_are_old(photo, settings):
    driving.deliver_stop(stop_id=stop_of(2).pk, proof=Proof(photos=[read_photo(picture())]))
    settings.PROOF_DAYS = 30
    ProofPhoto.objects.filter(pk=photo.pk).update(kept_at=timezone.now() - timedelta(days=30.01))
    assert tasks.forget_old_proofs() == 1
    assert [kept.stop_id for kept in ProofPhoto.objects.all()] == [stop_of(2).pk]
    assert stop_of(1).state == "delivered"
    assert tasks.forget_old_proofs() == 0


def test_they_are_forgotten_in_small_portions_the_oldest_first(photo, monkeypatch):
    monkeypatch.setattr(proofs, "FORGOTTEN_AT_ONCE", 2)
    old = timezone.now() - timedelta(days=500)
    ProofPhoto.objects.update(kept_at=old - timedelta(days=1))
    copies = [
        ProofPhoto(stop=stop_of(2), number=n, image=b"x", width=1, height=1, kept_at=old)
        for n in (1, 2)
    ]
    ProofPhoto.objects.bulk_create(copies)
    assert proofs.forget_old() == 2
    assert not ProofPhoto.objects.filter(pk=photo.pk)
    assert proofs.forget_old() == 1
