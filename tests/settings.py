"""The project's settings plus the lab: an app whose consumers fail, hang and die on order."""

import os

from supplychain.settings import *  # noqa: F403
from supplychain.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.lab"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# No beat runs in the tests of the machinery; what they run they start themselves.
CELERY_BEAT_SCHEDULE = {}
# Files are looked up when they are asked for: a fresh clone has collected none.
WHITENOISE_AUTOREFRESH = True
if os.environ.get("KILL_AFTER_COMMIT"):
    CELERY_INCLUDE = ["tests.killer"]
