"""Signatures of webhooks: HMAC-SHA256 over the time and the body, so that neither can be forged or sent again later."""

from __future__ import annotations

import hashlib
import hmac

TIMESTAMP = "x-comporta-timestamp"
SIGNATURE = "x-comporta-signature"
NOTICE = "x-comporta-notice"
#: What a signature begins with: its version.
PREFIX = "v1="
#: How far a timestamp may be from the receiver's clock.
TOLERANCE_S = 300.0


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """`v1=` and HMAC-SHA256, in hexadecimal digits, of `timestamp.body`."""
    signed = timestamp.encode() + b"." + body
    return PREFIX + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def is_genuine(
    secret: str, timestamp: str, body: bytes, given: str, now_s: float, tolerance_s: float = TOLERANCE_S
) -> bool:
    """Whether a delivery was signed with the secret, and lately: for receivers that are written in Python."""
    # Digits alone: `1e9` and `nan` would read as numbers too.
    if not (timestamp.isascii() and timestamp.isdecimal()) or abs(now_s - int(timestamp)) > tolerance_s:
        return False
    return hmac.compare_digest(signature(secret, timestamp, body).encode(), given.encode("utf-8", "replace"))
