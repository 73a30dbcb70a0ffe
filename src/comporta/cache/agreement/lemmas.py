"""Words in their basic form, well enough that two forms of one word come out the same."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources

_DOUBLED = frozenset("bdgmnprt")
_VOWELS = frozenset("aeiouy")


def lemma(word: str, language: str = "en") -> str:
    """The basic form of a word without accents, in small letters. Of words no longer than three letters: themselves."""
    if language == "en":
        return _english(word)
    return word


def _english(word: str) -> str:
    known = _irregular().get(word)
    if known is not None:
        return known
    if len(word) <= 3 or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return _english(word[:-1]) if word.endswith(("ings", "eds")) else word[:-1]
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= 3 and not _VOWELS.isdisjoint(stem):
            return _restored(stem)
    return word


@cache
def _irregular() -> Mapping[str, str]:
    """A form -> its word."""
    text = (resources.files("comporta.cache.agreement") / "tables" / "en.irregular.txt").read_text("utf-8")
    lines = (line.split(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {form: word for word, forms in lines for form in forms.split()}


def _restored(stem: str) -> str:
    """`stopp` to `stop`, `chang` to `change`, `return` as it is."""
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] in _DOUBLED:
        return stem[:-1]
    if stem.endswith(_SHORTENED):
        return stem if stem.endswith(_KEPT) else stem + "e"
    if len(stem) == 3 and stem[0] not in _VOWELS and stem[1] in _VOWELS and stem[2] in "kmpdtn":
        return stem + "e"
    return stem


#: How stems end that lost an `e`.
_SHORTENED = ("at", "iz", "is", "us", "ur", "as", "os", "v", "c", "dg", "ng", "rg", "uir", "ir", "bl", "gl", "pl", "tl",
              "dl", "kl", "ar", "or", "u", "rs", "ns", "ps", "ls")  # fmt: skip
#: Stems that end like them but take no `e`.
_KEPT = ("treat", "repeat", "eat", "float", "seat", "heat", "beat", "bring", "ring", "hang", "belong", "long", "strong",
         "visit", "bias", "focus", "air", "repair", "answer", "color", "favor", "monitor", "error", "harbor", "ear",
         "appear", "hear", "clear", "bear", "wear", "tear", "oar", "discus", "your", "four", "hour", "pour", "tour",
         "chair", "stair", "pair", "hair", "perhaps")  # fmt: skip
