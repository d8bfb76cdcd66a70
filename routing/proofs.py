"""Promise: a photo that is kept is a JPEG of our own making: upright, at most so large, and without
what the camera wrote into it (where, when and whose it was). It is committed with the stop's end,
and is forgotten when nobody can ask for it any more."""

from __future__ import annotations

import io
import math
import struct
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from PIL import Image, ImageOps, UnidentifiedImageError

from supplychain.errors import SupplyChainError

from .models import MAX_PHOTOS, ProofPhoto, Stop

#: Bytes of an upload, and pixels of a JPEG, that are looked at at all: what phones take at most.
MAX_UPLOAD, MAX_PIXELS = 8_000_000, 51_000_000
#: Pixels of what can be decoded only as a whole: in some hundred megabytes.
MAX_WHOLE_PIXELS, WHOLE_FORMATS = 12_000_000, ("PNG", "WEBP")
#: What is kept: pixels of the longer side, and JPEG's quality.
LONGEST_SIDE, QUALITY = 1600, 80
FORMATS = ("JPEG", *WHOLE_FORMATS)
#: So that this process's memory is that of one picture, however many come at once.
_one_at_a_time = threading.Lock()
#: What Pillow's readers raise when a file is broken.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    struct.error,
    zlib.error,
)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
#: Photos that one tick forgets, at most.
FORGOTTEN_AT_ONCE = 500


class UnusablePhoto(SupplyChainError):
    """This is no photo that can be kept."""

    permanent = True


@dataclass(frozen=True)
class Photo:
    """A JPEG as it is kept."""

    data: bytes
    width: int
    height: int


def read_photo(data: bytes) -> Photo:
    """Make of an upload what is kept; raises UnusablePhoto, whose text is for who took it."""
    if len(data) > MAX_UPLOAD:
        raise UnusablePhoto(
            f"The photo has {len(data):,} bytes; at most {MAX_UPLOAD:,} are taken. "
            "Take it again with a lower resolution."
        )
    try:
        with _one_at_a_time, Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _redrawn(image)
    except UnidentifiedImageError:
        raise UnusablePhoto("This is neither a JPEG nor a PNG or WebP picture.") from None
    except _BOMB:
        raise UnusablePhoto(_TOO_MANY) from None
    except _BROKEN as wrong:
        raise UnusablePhoto("The picture is damaged: take it again.") from wrong


_TOO_MANY = (
    f"The photo has more than {MAX_PIXELS // 1_000_000} million pixels. "
    "Take it again with a lower resolution."
)
_TOO_MANY_AS_IT_IS = (
    f"Only a plain JPEG may have more than {MAX_WHOLE_PIXELS // 1_000_000} million pixels, no PNG, "
    "WebP or progressive JPEG. Take it again with a lower resolution."
)


def _redrawn(image: Image.Image) -> Photo:
    """Nothing but the pixels of the upload gets into the new one."""
    if image.width * image.height > MAX_PIXELS:  # the header says so: nothing is decoded yet
        raise UnusablePhoto(_TOO_MANY)
    whole = image.format in WHOLE_FORMATS or "progressive" in image.info
    if whole and image.width * image.height > MAX_WHOLE_PIXELS:
        raise UnusablePhoto(_TOO_MANY_AS_IT_IS)
    # Of a large JPEG it decodes a half, a quarter, … of the size, for a fraction of the work.
    image.thumbnail(_kept_size(image))
    upright = _upright(image).convert("RGBA" if image.has_transparency_data else "RGB")
    drawn = Image.new("RGB", upright.size, "white")
    drawn.paste(upright, mask=upright if upright.mode == "RGBA" else None)
    out = io.BytesIO()
    drawn.save(out, "JPEG", quality=QUALITY, optimize=True)
    return Photo(out.getvalue(), *drawn.size)


def _kept_size(image: Image.Image) -> tuple[int, int]:
    """At most; in its own shape, as what a JPEG is decoded to is not smaller on either side."""
    longest = max(image.size)
    width, height = (math.ceil(side * LONGEST_SIDE / longest) for side in image.size)
    return width, height


def _upright(image: Image.Image) -> Image.Image:
    """As the camera was held; a photo whose notes are damaged is kept as it lies."""
    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN:
        return image


def keep_photos(*, stop: Stop, photos: Sequence[Photo]) -> None:
    """In the transaction that ends the stop."""
    if len(photos) > MAX_PHOTOS:
        raise UnusablePhoto(f"A stop has at most {MAX_PHOTOS} photos.")
    ProofPhoto.objects.bulk_create(
        ProofPhoto(
            stop=stop,
            number=number,
            image=photo.data,
            width=photo.width,
            height=photo.height,
            kept_at=timezone.now(),
        )
        for number, photo in enumerate(photos, start=1)
    )


def forget_old() -> int:
    """Throw away photos older than PROOF_DAYS, the oldest first, so many at once at most; gives
    how many went."""
    limit = timezone.now() - timedelta(days=settings.PROOF_DAYS)
    old = ProofPhoto.objects.filter(kept_at__lt=limit).order_by("kept_at")
    keys = list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
    return ProofPhoto.objects.filter(pk__in=keys).delete()[0]
