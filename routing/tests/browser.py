"""What tests in a browser need of the machine; without it they are skipped."""

import shutil

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect

marks = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
