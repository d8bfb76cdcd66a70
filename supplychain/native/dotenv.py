"""Promise: a .env with everything that docker compose needs; its secrets random, new, and only
here. An existing .env is never touched.

    python3 supplychain/native/dotenv.py        (or: make env)
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SECRETS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(50),
    # In URLs, so nothing that would have to be escaped there.
    "POSTGRES_PASSWORD": lambda: secrets.token_hex(16),
    "RABBITMQ_PASSWORD": lambda: secrets.token_hex(16),
    "FLOWER_BASIC_AUTH": lambda: f"flower:{secrets.token_hex(8)}",
}


def fill(example: str) -> str:
    for name, make in SECRETS.items():
        example = re.sub(rf"^{name}=$", f"{name}={make()}", example, flags=re.MULTILINE)
    return example


def main() -> int:
    target = ROOT / ".env"
    try:
        opened = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(".env is there already: left as it is.")
        return 0
    with os.fdopen(opened, "w") as output:
        output.write(fill((ROOT / ".env.example").read_text()))
    print("Wrote .env with new secrets. Look through it, then: docker compose up --build")
    return 0


if __name__ == "__main__":
    sys.exit(main())
