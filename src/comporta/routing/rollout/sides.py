"""Who stays on which side: by hash where there is somebody to know again, else drawn for each call.

A caller's place in [0, 1) never changes while a rollout lasts, and side B is all places below its share. So a growing
share moves callers from A to B and never the other way, and two rollouts (two salts) know nothing of each other.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

Draw = Callable[[], float]


def place(salt: str, key: str | None, draw: Draw = random.random) -> float:
    """Where a caller stands in [0, 1): hashed with a key (the session, else the user), drawn without one."""
    if key is None:
        return draw()
    digest = hashlib.blake2b(f"rollout\0{salt}\0{key}".encode(), digest_size=8).digest()
    # 53 bits: what a float holds exactly, so that no place rounds up to 1 and falls out of a share of 100 %.
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def on_b(salt: str, key: str | None, share: float, draw: Draw = random.random) -> bool:
    """Whether a caller's call goes to side B, which takes `share` (0 to 1) of all callers."""
    if share <= 0:
        return False
    return share >= 1 or place(salt, key, draw) < share
