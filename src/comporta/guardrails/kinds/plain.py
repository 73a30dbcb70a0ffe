"""Guards that need no more than the text: patterns of one's own, and how much of it there is."""

from __future__ import annotations

import re2
from msgspec import Struct

from comporta.errors import ConfigError
from comporta.guardrails.base import PASS, Context, Guard, Kind, Match, Tools, Verdict
from comporta.guardrails.looking import Text
from comporta.text.tokens import estimate_tokens


class RegexSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Patterns in RE2's words (no look-around, no back-references): each is found in time linear in the text."""

    pattern: str | None = None
    patterns: tuple[str, ...] = ()
    #: What a mask calls it.
    label: str = "MATCH"
    ignore_case: bool = True


def regex(settings: RegexSettings, tools: Tools) -> Guard:
    """Finds what its patterns match. Raises ConfigError for a pattern that RE2 can't read."""
    written = [*settings.patterns, *([settings.pattern] if settings.pattern is not None else [])]
    if not written:
        raise ConfigError("regex: give `pattern` or `patterns`")
    found = [_compiled(pattern, settings.ignore_case) for pattern in written]

    async def guard(text: Text, context: Context) -> Verdict:
        spans = tuple(
            Match(*text.at(m.start(), m.end()), settings.label)
            for pattern in found
            for m in pattern.finditer(text.plain)
            if m.end() > m.start()
        )
        return Verdict("flag", reason="it holds what a pattern names", spans=spans, confidence=1.0) if spans else PASS

    return guard


def _compiled(pattern: str, ignore_case: bool) -> re2._Regexp:
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        words = error.args[0] if error.args else "unreadable"
        said = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
        raise ConfigError(f"regex: {pattern!r} is no pattern of RE2: {said}") from None


class SizeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How much one text may hold; more than `warn_characters` is told, more than the others is found."""

    max_characters: int = 10_000
    warn_characters: int = 8_000
    max_tokens: int | None = None


def context_size(settings: SizeSettings, tools: Tools) -> Guard:
    """Finds texts that are too long. Tokens are estimated."""

    async def guard(text: Text, context: Context) -> Verdict:
        size = len(text.raw)
        facts = {"characters": size}
        if size > settings.max_characters:
            why = f"it has {size} characters, of {settings.max_characters} allowed"
            return Verdict(
                "flag", "critical", why, confidence=1.0, text=text.raw[: settings.max_characters], facts=facts
            )
        if settings.max_tokens is not None and (tokens := estimate_tokens(text.raw)) > settings.max_tokens:
            why = f"it has about {tokens} tokens, of {settings.max_tokens} allowed"
            return Verdict("flag", "critical", why, confidence=1.0, facts={**facts, "tokens": tokens})
        if size > settings.warn_characters:
            return Verdict("flag", "warning", f"it has {size} characters", confidence=0.1, facts=facts)
        return PASS

    return guard


KINDS = (
    Kind("regex", regex, RegexSettings, about="Finds what patterns of your own name (RE2's syntax)."),
    Kind("context_size", context_size, SizeSettings, needs="whole", aliases=("length",),
         about="Finds texts that are too long, in characters or estimated tokens."),
)  # fmt: skip
