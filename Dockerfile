# One image for every process; docker-compose.yml says which one a container runs.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --create-home --uid 10001 app
WORKDIR /app

# Changes seldom, so it stands before the code: a new build then takes seconds.
COPY requirements.txt .
RUN pip install -r requirements.txt

COPY . .
# No secret is needed for this, and none gets into the image.
RUN python manage.py collectstatic --noinput -v 0

USER app
EXPOSE 8000
# /dev/shm: a worker's sign of life on a slow disk would make gunicorn kill it.
CMD ["gunicorn", "supplychain.wsgi", "--worker-class", "gthread", "--workers", "2", \
     "--threads", "4", "--bind", "0.0.0.0:8000", "--graceful-timeout", "8", \
     "--no-control-socket", "--worker-tmp-dir", "/dev/shm", "--access-logfile", "-"]
