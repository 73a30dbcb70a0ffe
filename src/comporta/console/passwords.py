"""Passwords as they are kept: scrypt with its parameters in front, so that they can grow later."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets

#: OWASP's password storage recommendations name this setting of scrypt: 32 MiB, a tenth of a second.
_N, _R, _P = 2**15, 8, 3
_MEMORY_BYTES = 64 * 1024 * 1024
#: More is no password any more, and hashing it would be work that anybody can cause.
LONGEST = 200
SHORTEST = 10


class Passwords:
    """Hashes and checks them, one at a time in a thread: a flood of tries costs one core at most."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)
        #: What an unknown name is checked against, so that its answer takes as long as that of a known one.
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """The text to keep."""
        async with self._turn:
            return await asyncio.to_thread(hashed, password)

    async def fits(self, password: str, kept: str | None) -> bool:
        """Whether it is the kept one; always False where none is kept, after the same time."""
        async with self._turn:
            if self._nobody is None:
                self._nobody = await asyncio.to_thread(hashed, secrets.token_hex(8))
            right = await asyncio.to_thread(_fits, password[:LONGEST], kept or self._nobody)
        return right and kept is not None


def hashed(password: str) -> str:
    """`scrypt$n$r$p$salt$hash`."""
    salt = secrets.token_bytes(16)
    return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(_scrypt(password, salt, _N, _R, _P))}"


def made() -> str:
    """A password nobody guesses, in characters that nobody mixes up: 100 bits."""
    return "-".join("".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(5)) for _ in range(4))


def _fits(password: str, kept: str) -> bool:
    kind, n, r, p, salt, right = kept.split("$")
    if kind != "scrypt":
        return False
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(right))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY_BYTES, dklen=32)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
