# Everything a newcomer types. Needed beforehand: make and Python 3.11 or newer.
# Hand options on with ARGS:  make test ARGS="inventory -k reserve"

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help venv venv-dev servers demo test check bench bench-routing up manage env format clean

PYTHON := .venv/bin/python
RUN    := $(PYTHON) -m supplychain.native.run

help:  ## this list
	@echo "make …"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-15s %s\n", $$1, $$2}'

venv:  ## make .venv with what the system runs on
	@command -v python3 >/dev/null || { echo "python3 is missing. Type: sudo apt-get install python3 python3-venv" >&2; exit 1; }
	@python3 supplychain/native/venv.py requirements.txt

venv-dev:
	@command -v python3 >/dev/null || { echo "python3 is missing. Type: sudo apt-get install python3 python3-venv" >&2; exit 1; }
	@python3 supplychain/native/venv.py requirements-dev.txt

servers: venv  ## install PostgreSQL and RabbitMQ if they are missing
	@$(PYTHON) -m supplychain.native.install

demo: venv  ## watch orders flow through the system; one process, no servers
	@DATABASE_URL="sqlite:///$(CURDIR)/.demo/demo.sqlite3" CELERY_BROKER_URL=memory://localhost/ \
	EMAIL_URL="filemail:///$(CURDIR)/.demo/mails" $(PYTHON) manage.py demo $(ARGS)

test: check servers  ## check, then all tests on a private PostgreSQL and RabbitMQ
	@$(RUN) -- $(PYTHON) -m pytest $(ARGS)

check: venv-dev  ## format, lint, types, migrations and event catalogue up to date
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy .
	@# In memory: a check must not leave a database behind.
	DATABASE_URL=sqlite://:memory: $(PYTHON) manage.py makemigrations --check --dry-run
	DATABASE_URL=sqlite://:memory: $(PYTHON) manage.py event_catalogue --check

bench: servers  ## measure throughput and latency on private servers with fsync on
	@$(RUN) --durable -- $(PYTHON) manage.py bench $(ARGS)

bench-routing: venv  ## plans against the best known solutions, 40 minutes; FULL=1: every instance
	@DATABASE_URL=sqlite://:memory: CELERY_BROKER_URL=memory://localhost/ \
	$(PYTHON) manage.py bench_routing $(if $(FULL),--full) $(ARGS)

up: servers  ## the whole system: servers, web, relay, workers, beat, Flower; ctrl-C ends it
	@$(PYTHON) -m supplychain.native.up

manage: venv  ## manage.py on the running system: make manage ARGS="create_channel demo"
	@$(PYTHON) -m supplychain.native.up manage $(ARGS)

env:  ## write a .env with new secrets, for docker compose
	@python3 supplychain/native/dotenv.py

format: venv-dev  ## let ruff format and mend
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

clean:  ## remove .venv, caches and collected files; data of `make up` (.run) stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo staticfiles
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
