"""All settings, from the environment (or a .env file); a bad value stops the start with a
sentence that says which one and what it should be.

Without DATABASE_URL and CELERY_BROKER_URL the system runs embedded: SQLite and an
in-process broker, for trying out.
"""

import os
import secrets
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

T = TypeVar("T")
BASE_DIR = Path(__file__).resolve().parent.parent
if not os.environ.get("SUPPLYCHAIN_NO_DOTENV"):
    environ.Env.read_env(BASE_DIR / ".env")


# django-environ reads .env and URLs. The rest is read here: it takes "maybe" for false, "1e3"
# for 13, and a secret that begins with $ for the name of another variable.
def _text(name: str, default: str = "") -> str:
    """Set to nothing, as in a .env that is half filled in, is not set."""
    return os.environ.get(name, "").strip() or default


def _list(name: str, default: list[str]) -> list[str]:
    return [part.strip() for part in _text(name).split(",") if part.strip()] or default


def _read(name: str, default: str, read: Callable[[str], T], expected: str) -> T:
    try:
        return read(_text(name, default))
    except Exception as wrong:
        raise ImproperlyConfigured(f"{name} must be {expected}; it is not: {wrong}") from wrong


def _switch(name: str) -> bool:
    """Off unless asked for."""
    value = _text(name, "false").lower()
    if value not in {"true", "yes", "on", "1", "false", "no", "off", "0"}:
        raise ImproperlyConfigured(f"{name} must be true or false; it is {value!r}.")
    return value in {"true", "yes", "on", "1"}


def _number(name: str, default: float, low: float, high: float) -> float:
    value = _read(name, str(default), float, "a number")
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} must be from {low} to {high}; it is {value}.")
    return value


DEBUG = _switch("DEBUG")
CELERY_BROKER_URL = _text("CELERY_BROKER_URL", "memory://localhost/")
if CELERY_BROKER_URL.partition("://")[0] not in {"memory", "amqp", "amqps", "pyamqp"}:
    raise ImproperlyConfigured(
        "CELERY_BROKER_URL must start with amqp:// or amqps:// (RabbitMQ), or be memory:// "
        f"(embedded, one process); it starts with {CELERY_BROKER_URL.partition('://')[0]!r}."
    )
#: One process holds broker, workers and web: for trying out, see README.
EMBEDDED = CELERY_BROKER_URL.startswith("memory")

SECRET_KEY = _text("SECRET_KEY")
if not SECRET_KEY:
    if not (EMBEDDED or DEBUG):
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. Make one with `python -c 'import secrets; "
            "print(secrets.token_urlsafe(50))'` and put it into the environment or .env."
        )
    SECRET_KEY = secrets.token_urlsafe(50)

ALLOWED_HOSTS = _list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = _list("CSRF_TRUSTED_ORIGINS", [])
if _switch("BEHIND_TLS_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True

INSTALLED_APPS = [
    "unfold",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "unfold.contrib.import_export",
    "import_export",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "supplychain.events",
    "supplychain.operations",
    "orders",
    "inventory",
    "routing",
    "notifications",
    "audit",
    "analytics",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "supplychain.events.context.CorrelationMiddleware",
    "supplychain.api.BodyLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "supplychain.urls"
WSGI_APPLICATION = "supplychain.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "supplychain" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": _read(
        "DATABASE_URL",
        f"sqlite:///{BASE_DIR / 'supplychain.sqlite3'}",
        environ.Env.db_url_config,
        "a URL like postgres://user:password@host:5432/name",
    )
}
_engine = str(DATABASES["default"].get("ENGINE", ""))
if _engine.endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        # A transaction takes the write lock when it begins: it then can't fail half-way.
        "transaction_mode": "IMMEDIATE",
        "timeout": 60,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif _engine.endswith("postgresql"):
    DATABASES["default"]["CONN_MAX_AGE"] = None
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"].setdefault("OPTIONS", {})["connect_timeout"] = 5
else:
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL or SQLite database.")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator")
]
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = EMBEDDED or DEBUG  # then nobody has run collectstatic
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# --- Admin --------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": "Supply chain",
    "SITE_HEADER": "Supply chain",
    "SITE_SYMBOL": "package_2",
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "supplychain.home.show",
    "STYLES": [lambda request: static("supplychain/admin.css")],
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "supplychain.navigation.sidebar",
    },
    "COLORS": {
        # Teal, of the lightness and strength that the theme's own colour has.
        "primary": {
            "50": "oklch(98% .015 190)",
            "100": "oklch(95% .04 190)",
            "200": "oklch(90% .08 190)",
            "300": "oklch(83% .11 190)",
            "400": "oklch(72% .12 190)",
            "500": "oklch(60% .11 190)",
            "600": "oklch(51% .095 190)",
            "700": "oklch(44% .08 190)",
            "800": "oklch(38% .065 190)",
            "900": "oklch(33% .055 190)",
            "950": "oklch(24% .04 190)",
        },
    },
}

# --- REST API -----------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["supplychain.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "supplychain.api.answer_error",
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Supply chain API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    # What is called the same stands together on the page: all of routes, all of orders.
    "SCHEMA_PATH_PREFIX": "/api/v1",
    # The page's scripts come from here, not from a foreign host.
    "ENUM_NAME_OVERRIDES": {
        "OrderShipmentState": "orders.models.OrderShipment.State",
        "RouteState": "routing.models.Route.State",
        "StopState": "routing.models.Stop.State",
        "PlanRunState": "routing.models.PlanRun.State",
        "ReceiptState": "inventory.models.Receipt.State",
        "TransferState": "inventory.models.Transfer.State",
        "CountState": "inventory.models.CycleCount.State",
        "StockImportState": "inventory.models.StockImport.State",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
#: Bytes; a longer request body is answered with 413 before it is read.
API_MAX_BODY = int(_number("API_MAX_BODY", 2_500_000, 1_000, 100_000_000))
DATA_UPLOAD_MAX_MEMORY_SIZE = API_MAX_BODY

# --- Celery -------------------------------------------------------------------------------
# Queues, exchanges and bindings come from the consumers, and queues from the routes of plain tasks
# below: supplychain/events/topology.py.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_ROUTES = {
    # A search takes seconds, and the events of the domain would wait for it.
    "routing.plan_due_depots": {"queue": "planning"},
    **{f"{app}.*": {"queue": app} for app in ("inventory", "routing", "notifications")},
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 200
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False
CELERY_WORKER_CONSUMER = "supplychain.events.worker:EventConsumer"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"polling_interval": 0.01} if EMBEDDED else {"confirm_publish": True}
)
CELERY_TASK_SOFT_TIME_LIMIT = 120
CELERY_TASK_TIME_LIMIT = 150
CELERY_TIMEZONE = "UTC"

# --- Events -------------------------------------------------------------------------------
#: How long published outbox rows and inbox rows are kept. The inbox must remember longer
#: than any message can wait in a queue or as a dead letter that somebody redrives.
OUTBOX_RETENTION = timedelta(days=_number("OUTBOX_RETENTION_DAYS", 7, 0.01, 3650))
INBOX_RETENTION = timedelta(days=_number("INBOX_RETENTION_DAYS", 90, 1, 3650))

# --- Inventory ----------------------------------------------------------------------------
#: Seconds, at most, to find the choice that completes most orders of a batch when stock is
#: scarce. 0: always first come, first served.
INVENTORY_OPTIMISE_SECONDS = _number("INVENTORY_OPTIMISE_SECONDS", 0.25, 0.0, 60.0)

#: Seconds between two looks for orders that were not confirmed in time, and how much later than
#: that their stock is let go: a confirmation may be under way.
EXPIRY_INTERVAL = _number("EXPIRY_INTERVAL", 5.0, 0.1, 3600)
EXPIRY_GRACE = _number("EXPIRY_GRACE", 30.0, 0.0, 86400)
#: Seconds between two looks for stock that one warehouse lacks and another can spare.
TRANSFER_PROPOSAL_INTERVAL = _number("TRANSFER_PROPOSAL_INTERVAL", 3600.0, 1.0, 604_800)

# --- Routing ------------------------------------------------------------------------------
#: Seconds between two looks for depots that are due for planning.
PLANNING_INTERVAL = _number("PLANNING_INTERVAL", 2.0, 0.1, 3600)
#: A depot is planned when no shipment has arrived for `quiet` seconds, or when the oldest
#: has waited for `patience` seconds: a burst gives a plan per depot, not per order.
PLANNING_QUIET = _number("PLANNING_QUIET", 2.0, 0.0, 3600)
PLANNING_PATIENCE = _number("PLANNING_PATIENCE", 30.0, 0.0, 86400)
#: … or when so many wait for a plan.
PLANNING_NUMBER = int(_number("PLANNING_NUMBER", 1000, 1, 1_000_000))
#: Seconds, at most, in which the shipments of one delivery of events are promised a window each,
#: before any plan run; 0: none is. The window lasts for so many hours around the time found.
PROMISE_SECONDS = _number("PROMISE_SECONDS", 1.0, 0.0, 60.0)
PROMISE_WINDOW_HOURS = _number("PROMISE_WINDOW_HOURS", 4.0, 0.1, 48.0)
#: Minutes by which a time must change to be told again.
ETA_THRESHOLD_MINUTES = _number("ETA_THRESHOLD_MINUTES", 15.0, 0.0, 1440)
#: Minutes after its planned start in which a route that was not dispatched is planned again.
DISPATCH_GRACE_MINUTES = _number("DISPATCH_GRACE_MINUTES", 30.0, 1.0, 1440)
#: Minutes that a vehicle stays at its depot between two tours.
TURN_AROUND_MINUTES = _number("TURN_AROUND_MINUTES", 30.0, 0.0, 1440)
#: Seconds of search per depot, at most.
PLANNING_SOLVE_SECONDS = _number("PLANNING_SOLVE_SECONDS", 5.0, 0.1, 600)
#: A server that answers as OSRM's table service does. Empty: travel times are estimated.
TRAVEL_URL = _text("TRAVEL_URL")
if TRAVEL_URL and TRAVEL_URL.partition("://")[0] not in {"http", "https"}:
    raise ImproperlyConfigured(f"TRAVEL_URL must start with http(s)://; it is {TRAVEL_URL!r}.")
#: Seconds to wait for it, per plan; after that the times are estimated.
TRAVEL_TIMEOUT = _number("TRAVEL_TIMEOUT", 10.0, 0.1, 300)
#: A tile server for the map of the plan page, as https://tiles.example.com/{z}/{x}/{y}.png, and
#: whom it wants named on it. Empty: outlines and cities that are shipped are the map.
MAP_TILES = _text("MAP_TILES")
if MAP_TILES and not (
    MAP_TILES.partition("://")[0] in {"http", "https"}
    and all(part in MAP_TILES for part in ("{z}", "{x}", "{y}"))
):
    raise ImproperlyConfigured(
        "MAP_TILES must start with http(s):// and contain {z}, {x} and {y}; "
        f"it is {MAP_TILES!r}."
    )
MAP_ATTRIBUTION = _text("MAP_ATTRIBUTION")

#: Days for which photos that prove a delivery are kept.
PROOF_DAYS = _number("PROOF_DAYS", 400, 1, 36500)
#: Days for which runs of the planner are kept from which nothing came that is still there.
PLAN_RUN_DAYS = _number("PLAN_RUN_DAYS", 90, 1, 36500)

# --- Notifications ------------------------------------------------------------------------
_email = _read(
    "EMAIL_URL",
    "consolemail://",
    environ.Env.email_url_config,
    "a URL like smtp://user:password@host:587 or consolemail:// or filemail:///folder",
)
vars().update(_email)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = _text("DEFAULT_FROM_EMAIL", "orders@localhost")
#: Seconds between two looks for notifications that are due.
NOTIFICATION_INTERVAL = _number("NOTIFICATION_INTERVAL", 1.0, 0.1, 3600)


# --- Periodic tasks -----------------------------------------------------------------------
def _every(seconds: float, task: str) -> dict[str, Any]:
    """A tick that nobody took before the next ones came is worth nothing, hence it expires."""
    return {"task": task, "schedule": seconds, "options": {"expires": 2 * seconds}}


CELERY_BEAT_SCHEDULE = {
    "expire holds": _every(EXPIRY_INTERVAL, "inventory.expire_holds"),
    "propose transfers": _every(TRANSFER_PROPOSAL_INTERVAL, "inventory.propose_transfers"),
    "plan due depots": _every(PLANNING_INTERVAL, "routing.plan_due_depots"),
    "forget old proofs": _every(600, "routing.forget_old_proofs"),
    "forget old plan runs": _every(600, "routing.forget_old_plan_runs"),
    "send due notifications": _every(NOTIFICATION_INTERVAL, "notifications.send_due"),
}

# --- Metrics ------------------------------------------------------------------------------
#: Bearer token of GET /metrics; without one only staff gets in.
METRICS_TOKEN = _text("METRICS_TOKEN")

# --- Logs ---------------------------------------------------------------------------------
LOG_LEVEL = _text("LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
    raise ImproperlyConfigured(f"LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {LOG_LEVEL}.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)-7s %(processName)s %(name)s: %(message)s"}
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
}
