"""PostgreSQL and RabbitMQ as private, native processes: no container, no system service.

servers.py    PostgresServer, RabbitServer, and attach() to reach running ones from a test
run.py        python -m supplychain.native.run -- COMMAND…   with both servers for its lifetime
up.py         python -m supplychain.native.up                the whole system, data kept
install.py    python -m supplychain.native.install           the Debian packages, if missing
venv.py       makes .venv; a script that any old python3 can read
"""
