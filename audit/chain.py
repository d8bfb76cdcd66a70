"""Promise: a stored event can't be changed, moved or taken out without the chain telling.

Each row's hash covers the hash of the row before it, so the last one stands for all of them.
Whoever may write to the database can still rewrite the whole chain: `audit verify` prints the
head, to be kept elsewhere and given back as ``--anchor`` later.
"""

from __future__ import annotations

import hashlib

#: What the first row has for a previous hash.
GENESIS = "0" * 64


def digest(previous_hash: str, position: int, body: str) -> str:
    return hashlib.sha256(f"{previous_hash}\n{position}\n{body}".encode()).hexdigest()
