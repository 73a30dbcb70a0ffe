"""Texts that must be in certain languages."""

from __future__ import annotations

from msgspec import Struct

from comporta.errors import ConfigError
from comporta.guardrails.base import PASS, Context, Guard, Kind, Tools, Verdict
from comporta.guardrails.looking import Text
from comporta.text.language import guess_language

#: What can be told apart; everything else is `other`.
LANGUAGES = ("en", "pt", "es", "other")
#: Shorter texts say too little about their language: `ok`, a name, a number.
_FEW_LETTERS = 12


class LanguageSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Languages as `en`, `pt`, `es` or `other` (all the rest); a region (`pt-BR`) is left aside."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    #: An answer must be in the language of the question, where that can be told.
    same_as_question: bool = False


def language(settings: LanguageSettings, tools: Tools) -> Guard:
    """Finds texts in a language that is not allowed. Raises ConfigError where nothing, or no language, is named."""
    allow, deny = known_codes("language", settings.allow), known_codes("language", settings.deny)
    if not allow and not deny and not settings.same_as_question:
        raise ConfigError("language: give `allow`, `deny` or `same_as_question: true`")

    async def guard(text: Text, context: Context) -> Verdict:
        code, sure = spoken(text.raw)
        if sure == 0.0:
            return PASS
        wanted = allow
        if settings.same_as_question and context.side == "output":
            asked, certain = spoken(context.question)
            wanted = frozenset({asked}) if certain >= 0.3 else allow
        if code in deny or (wanted and code not in wanted):
            words = ", ".join(sorted(wanted)) or f"anything but {', '.join(sorted(deny))}"
            facts = {"language": code, "sure": sure}
            return Verdict("flag", reason=f"it is in '{code}', not in {words}", confidence=sure, facts=facts)
        return PASS

    return guard


def spoken(text: str) -> tuple[str, float]:
    """The language of a text, and how sure that is: 0 where it is too short or says nothing."""
    if sum(map(str.isalpha, text[:200])) < _FEW_LETTERS:
        return "other", 0.0
    found = guess_language(text)
    return found.code, found.sure


def known_codes(who: str, given: tuple[str, ...]) -> frozenset[str]:
    """Languages without their regions. Raises ConfigError for one that can't be told from others."""
    codes = [code.replace("_", "-").split("-")[0].lower() for code in given]
    for code, written in zip(codes, given, strict=True):
        if code not in LANGUAGES:
            raise ConfigError(f"{who}: '{written}' is none of {', '.join(LANGUAGES)} (all other languages)")
    return frozenset(codes)


KINDS = (
    Kind("language", language, LanguageSettings, threshold=0.3, severity="warning", needs="whole", alone=False,
         about="Holds texts to languages: English, Portuguese, Spanish, or others."),
)  # fmt: skip
