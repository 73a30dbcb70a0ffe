"""A virtual key as people see it, its secret, and the SQL of both tables."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from comporta.types import Caller

PREFIX = "cmp-"
SECRET = re.compile(r"cmp-[A-Za-z0-9_-]{43}")

SELECT = """
select id, name, prefix, last4, team, environment, feature, tags, allow, admin,
       extract(epoch from created_at)::float8, created_by, extract(epoch from expires_at)::float8,
       extract(epoch from revoked_at)::float8, revoked_by, extract(epoch from rotated_at)::float8,
       requests_per_minute, tokens_per_minute, concurrent, guardrails
from virtual_key
"""
SELECT_ALL = f"{SELECT} order by created_at, id"
SELECT_ONE = f"{SELECT} where id = %(id)s"
SELECT_CHANGED = f"{SELECT} where updated_at >= to_timestamp(%(since_s)s)"
SECRETS = "select sha256, key_id, extract(epoch from expires_at)::float8 from virtual_key_secret"
SECRETS_OF = f"{SECRETS} where key_id = any(%(ids)s)"
#: The margin lets a change in that was made before and committed after we last looked.
STATE = "select count(*), extract(epoch from clock_timestamp() - interval '60 s')::float8 from virtual_key"

INSERT = """
insert into virtual_key (id, name, prefix, last4, team, environment, feature, tags, allow, admin, created_by,
                         created_at, expires_at, requests_per_minute, tokens_per_minute, concurrent, guardrails)
values (%(id)s, %(name)s, %(prefix)s, %(last4)s, %(team)s, %(environment)s, %(feature)s, %(tags)s, %(allow)s,
        %(admin)s, %(by)s, to_timestamp(%(now_s)s), to_timestamp(%(expires_at_s)s),
        %(requests_per_minute)s, %(tokens_per_minute)s, %(concurrent)s, %(guardrails)s)
"""
INSERT_SECRET = "insert into virtual_key_secret (sha256, key_id) values (%(sha256)s, %(id)s)"  # noqa: S105
UPDATE = """
update virtual_key
set name = %(name)s, team = %(team)s, environment = %(environment)s, feature = %(feature)s, tags = %(tags)s,
    allow = %(allow)s, expires_at = to_timestamp(%(expires_at_s)s), requests_per_minute = %(requests_per_minute)s,
    tokens_per_minute = %(tokens_per_minute)s, concurrent = %(concurrent)s, guardrails = %(guardrails)s,
    updated_at = clock_timestamp()
where id = %(id)s and revoked_at is null
"""
LOCK = "select from virtual_key where id = %(id)s for update"
REVOKE = """
update virtual_key set revoked_at = to_timestamp(%(now_s)s), revoked_by = %(by)s, updated_at = clock_timestamp()
where id = %(id)s and revoked_at is null
"""
ROTATE = """
update virtual_key set prefix = %(prefix)s, last4 = %(last4)s, rotated_at = to_timestamp(%(now_s)s),
    updated_at = clock_timestamp()
where id = %(id)s
"""
RUN_OUT = """
update virtual_key_secret set expires_at = least(expires_at, to_timestamp(%(until_s)s)) where key_id = %(id)s
"""
#: Run-out secrets are kept for a while, so that their users hear «expired» and not «unknown».
FORGET = """
delete from virtual_key_secret
where key_id = %(id)s and expires_at < to_timestamp(%(now_s)s) - interval '30 days'
"""


#: The place of the one column that is not taken as it comes.
ALLOW = 8


class KeyRow(Struct, frozen=True):
    """A virtual key without its secret, of which only `prefix` and `last4` are kept, to tell keys apart."""

    id: str
    name: str
    prefix: str
    last4: str
    team: str | None
    environment: str | None
    feature: str | None
    tags: dict[str, str]
    #: Route and model names the key may use; empty means all.
    allow: tuple[str, ...]
    admin: bool
    created_at_s: float
    created_by: str
    expires_at_s: float | None
    revoked_at_s: float | None
    revoked_by: str | None
    rotated_at_s: float | None
    #: Limits of its own; None leaves it to the configuration.
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    #: The guard policy of all its calls.
    guardrails: str | None = None

    def usable(self, now_s: float) -> bool:
        return self.revoked_at_s is None and (self.expires_at_s is None or now_s < self.expires_at_s)

    def caller(self) -> Caller:
        return Caller(
            key_id=self.id, name=self.name, team=self.team, environment=self.environment, feature=self.feature,
            tags=self.tags, admin=self.admin, allow=self.allow, guardrails=self.guardrails,
        )  # fmt: skip


def read_row(row: Sequence[Any]) -> KeyRow:
    """A row of SELECT as a value."""
    values = list(row)
    values[ALLOW] = tuple(row[ALLOW])
    return KeyRow(*values)


def new_secret() -> str:
    """256 random bits, recognisable by their prefix (also to scanners of leaked secrets)."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> bytes:
    """What is stored of a secret. Random bits need no slow hash: there is nothing to guess."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def shown(secret: str) -> dict[str, str]:
    """The two ends by which people tell secrets apart."""
    return {"prefix": secret[:8], "last4": secret[-4:]}
