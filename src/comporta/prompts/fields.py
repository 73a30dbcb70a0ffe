"""What people may say to the registry: versions, environments, reasons, tags, each checked with its name."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from comporta.errors import BadRequest
from comporta.prompts.deploying import Wanted
from comporta.prompts.file import ID
from comporta.prompts.semver import is_version, whole
from comporta.store.fields import checked_name, checked_tags
from comporta.types import JSON

LONGEST_BY = 200
LONGEST_WHY = 2000
LONGEST_SUMMARY_BYTES = 200_000


def checked_version(version: str, param: str = "version") -> str:
    """A whole version; `2.3` and `v2.3` are 2.3.0."""
    found = whole(version[1:] if version[:1] in ("v", "V") else version)
    if not is_version(found):
        raise BadRequest(
            f"{version[:64]!r} is no version: three numbers, as in 2.3.1.", code="prompt_reference", param=param
        )
    return found


def checked_environment(name: str) -> str:
    """A label that may stand behind an @ and is not taken for a version."""
    if not ID.fullmatch(name) or is_version(whole(name)):
        raise BadRequest(
            f"{name[:100]!r} is no name of an environment: letters, digits, '.', '-' and '_', and no version.",
            param="environment",
        )
    return name


def checked_by(by: str) -> str:
    """Who does something: never nobody."""
    return checked_name(by.strip(), "by", LONGEST_BY)


def checked_why(why: str) -> str:
    """Free words, of several lines if need be."""
    if len(why) > LONGEST_WHY or any(c == "\0" or "\ud800" <= c <= "\udfff" for c in why):
        raise BadRequest(
            f"why has more than {LONGEST_WHY:,} characters, or one that can't be stored.", param="why"
        )  # fmt: skip
    return why.strip()


def check_summary(summary: JSON) -> None:
    """What the database can hold as JSON, and not too much of it."""
    try:
        text = msgspec.json.encode(summary)
        same = msgspec.json.decode(text) == summary
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BadRequest("summary holds something that JSON can't.", param="summary") from error
    if not same or rb"\u0000" in text or len(text) > LONGEST_SUMMARY_BYTES:
        raise BadRequest(
            f"summary must be plain JSON without NUL, of at most {LONGEST_SUMMARY_BYTES:,} bytes.", param="summary"
        )


def wanted_of(
    environment: str, versions: tuple[tuple[str, str], ...], by: str, why: str, tags: Mapping[str, str] | None,
    otherwise: Mapping[str, str] | None = None, force: bool = False, replacing: str | UnsetType | None = UNSET,
) -> Wanted:  # fmt: skip
    """A deploy with every part of it checked."""
    return Wanted(
        checked_environment(environment), versions, checked_by(by), checked_why(why), checked_tags(tags or {}),
        checked_tags(otherwise or {}, "otherwise"), force, replacing,
    )  # fmt: skip
