"""`secrets`: finds keys of providers, passwords, private keys and what else opens a door."""

from __future__ import annotations

from msgspec import Struct, field

from comporta.errors import ConfigError
from comporta.guardrails.base import PASS, Context, Guard, Kind, Tools, Verdict
from comporta.guardrails.looking import Text
from comporta.guardrails.secret.finding import SECRET_KINDS, Issued, Secrets


class SecretSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which kinds are looked for (all where `types` is empty), without those under `not`; how sure a find has to be."""

    types: tuple[str, ...] = ()
    without: tuple[str, ...] = field(name="not", default=())
    minimum: float = 0.5


def secrets(settings: SecretSettings, tools: Tools) -> Guard:
    """Finds secrets. Raises ConfigError."""
    wanted = set(map(_kind, settings.types)) or set(SECRET_KINDS)
    wanted -= set(map(_kind, settings.without))
    if not wanted:
        raise ConfigError("secrets: `types` and `not` leave nothing to look for")
    if not 0 <= settings.minimum <= 1:
        raise ConfigError(f"secrets: minimum must be a number between 0 and 1, not {settings.minimum}")
    finder = Secrets(wanted)

    async def guard(text: Text, context: Context) -> Verdict:
        found = finder.find(text, max(settings.minimum, context.threshold))
        return _verdict(found) if found else PASS

    return guard


def _kind(name: str) -> str:
    kind = name.strip().upper().replace(" ", "_")
    if kind not in SECRET_KINDS:
        raise ConfigError(f"secrets: there is no type '{name}': there are {', '.join(SECRET_KINDS)}")
    return kind


def _verdict(found: list[Issued]) -> Verdict:
    spans = tuple(one.match for one in found)
    kinds = list(dict.fromkeys(match.kind for match in spans))
    issuers = list(dict.fromkeys(one.issuer for one in found if one.issuer))
    sure = max(match.confidence for match in spans)
    return Verdict(
        "flag",
        "critical",
        f"it holds secrets: {', '.join(kinds)}",
        spans,
        sure,
        facts={"kinds": kinds, "issuers": issuers},
    )


KINDS = (
    Kind("secrets", secrets, SecretSettings, action="mask", aliases=("secret_detection",),
         about="Finds keys of providers, passwords, tokens, private keys and connection strings."),
)  # fmt: skip
