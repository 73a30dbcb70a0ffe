"""What an Anthropic model accepts, told from its name where the catalogue says nothing: each generation took less."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

_NEW_NAME: Final = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_OLD_NAME: Final = re.compile(r"claude-(?:instant-)?(\d)(?:[-.](\d))?(?!\d)")
#: Names with no number in them are of the newest generation.
_NEWEST: Final = (99, 0)


class Traits(Struct, frozen=True):
    """What the API accepts for a model. The defaults are those of servers that only speak the same wire."""

    #: Thinking with a budget of tokens, and thinking as the model sees fit.
    budgets: bool = True
    adaptive: bool = False
    #: temperature, top_p and top_k; newer models answer 400 to any of them.
    sampling: bool = True
    #: Thinks unless told otherwise, and hides its thoughts unless asked to sum them up.
    thinks_by_itself: bool = False
    hides_thoughts: bool = False
    #: The effort `xhigh`.
    xhigh: bool = False
    #: `output_config.format`.
    structured: bool = False


def traits_of(model: str) -> Traits:
    """The traits of a model by its name; a later version than any known is taken for one like the newest."""
    version = _version(model)
    if version is None:
        return Traits()
    newer = version >= (4, 7)
    return Traits(
        budgets=not newer,
        adaptive=version >= (4, 6),
        sampling=not newer,
        thinks_by_itself=version >= (5, 0),
        hides_thoughts=newer,
        xhigh=newer,
        structured=version >= (4, 1),
    )


def _version(model: str) -> tuple[int, int] | None:
    name = model.rpartition("/")[2]
    found = _NEW_NAME.match(name) or _OLD_NAME.match(name)
    if found is not None:
        return int(found[1]), int(found[2] or 0)
    return _NEWEST if name.startswith("claude-") else None
