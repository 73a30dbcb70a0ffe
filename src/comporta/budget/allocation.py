"""Which tags a call bears, and whether it may: closed sets of values, tags that must be there, a key's own word first.

Team, environment and feature are tags like any other here, but for their places of their own in keys and records. What
a key says a call can't change, else a call would choose whose budget pays for it; what the key leaves open it may say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from msgspec import Struct, structs

from comporta.errors import BadRequest
from comporta.store.fields import checked_name
from comporta.types import JSON, Caller

#: The header that a call says its tags in: `feature=search, cost_centre=4711`; values may be percent-encoded.
HEADER = "x-comporta-tags"
_PLACES = ("team", "environment", "feature")
#: Tags that the gate itself sets.
_OURS = "rollout"
_MOST_TAGS = 20
_MOST_SHOWN = 30
_REMEMBERED = 4096


class AllocationTag(Struct, frozen=True):
    """A tag that costs are told apart by; without `values` it may say anything."""

    name: str
    values: frozenset[str] = frozenset()
    required: bool = False


class Allocation:
    """The tags of a configuration. What was found out of a caller and its words is remembered."""

    def __init__(self, tags: Sequence[AllocationTag] = ()) -> None:
        self._tags = tuple(tags)
        self._names = frozenset(tag.name for tag in tags)
        #: Whether nothing is asked of calls that say nothing.
        self.is_open = not tags
        self._known: dict[tuple[int, str | None, tuple[tuple[str, str], ...]], tuple[Caller, Caller]] = {}

    def of(self, caller: Caller, header: str | None, metadata: JSON | None) -> Caller:
        """The caller with the tags of one call. Raises BadRequest, naming the tag and what is allowed.

        Of `metadata` only the tags that the configuration names are taken: the others are the client's own.
        """
        said = tuple(
            (name, value) for name, value in (metadata or {}).items() if name in self._names and isinstance(value, str)
        ) if metadata else ()  # fmt: skip
        place = (id(caller), header, said)
        known = self._known.get(place)
        if known is not None and known[0] is caller:
            return known[1]
        found = _merged(caller, {**dict(said), **(_read(header) if header else {})})
        self._check(found)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[place] = (caller, found)
        return found

    def _check(self, caller: Caller) -> None:
        for tag in self._tags:
            value = _value(caller, tag.name)
            if value is None:
                if tag.required and not caller.admin:
                    raise BadRequest(
                        f"This call needs the tag '{tag.name}'{_allowed(tag, ': one of ')}. Set it on the key, or send "
                        f"`{HEADER}: {tag.name}=…`.", code="tag_required", param=f"tags.{tag.name}",
                    )  # fmt: skip
            elif tag.values and value not in tag.values:
                raise BadRequest(
                    f"The tag '{tag.name}' can't be '{value[:100]}'{_allowed(tag, '; it is one of ')}.",
                    code="tag_not_allowed", param=f"tags.{tag.name}",
                )  # fmt: skip


def _read(header: str) -> dict[str, str]:
    """The tags of the header. Raises BadRequest."""
    found: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in header.split(","))):
        name, equals, value = (unquote(piece.strip()) for piece in part.partition("="))
        if not equals:
            raise BadRequest(f"{HEADER}: write name=value, with commas between.", code="tag_malformed", param="tags")
        found[checked_name(name, "tags")] = checked_name(value, f"tags.{name[:100]}", 256)
        if name.startswith(_OURS):
            raise BadRequest(f"The tag '{name[:100]}' is set by the gate.", code="tag_not_allowed", param="tags")
    if len(found) > _MOST_TAGS:
        raise BadRequest(f"{HEADER} has {len(found)} tags; at most {_MOST_TAGS} are allowed.", param="tags")
    return found


def _merged(caller: Caller, said: Mapping[str, str]) -> Caller:
    if not said:
        return caller
    for name, value in said.items():
        own = _value(caller, name)
        if own is not None and own != value:
            raise BadRequest(
                f"This key's {name} is '{own[:100]}': a call can't bear '{value[:100]}'.", code="tag_not_allowed",
                param=f"tags.{name}",
            )  # fmt: skip
    places = {name: value for name, value in said.items() if name in _PLACES}
    tags = {name: value for name, value in said.items() if name not in _PLACES}
    return structs.replace(caller, **places, tags={**caller.tags, **tags})


def _value(caller: Caller, name: str) -> str | None:
    found: str | None = getattr(caller, name) if name in _PLACES else caller.tags.get(name)
    return found


def _allowed(tag: AllocationTag, before: str) -> str:
    if not tag.values:
        return ""
    shown = sorted(tag.values)
    more = f" … ({len(shown)} in all)" if len(shown) > _MOST_SHOWN else ""
    return before + ", ".join(shown[:_MOST_SHOWN]) + more
