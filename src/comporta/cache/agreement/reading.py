"""A text taken apart: numbers with units, names, code, quotes, what is asked for, negation, and words by meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from comporta.cache.agreement.lemmas import lemma
from comporta.cache.agreement.tables import Tables
from comporta.text.normal import without_accents

CODE = re.compile(
    r"`{1,3}[^`]+`{1,3}|--?[A-Za-z][\w-]+(?==)|(?<!\S)--[a-z][\w-]+|\b\w+\(\)|\b[A-Za-z]\w*_\w+\b|\b[a-z]+[A-Z]\w*\b"
    r"|\b\w+::\w+|(?<!\S)~?/[\w./-]{2,}|\b[\w-]+\.(?:py|js|ts|json|ya?ml|txt|csv|log|exe|sh|md|html|xml|toml|cfg|conf|sql)\b"
    r"|https?://\S+|\b[\w.+-]+@[\w-]+\.[\w.]+|\bv\d+(?:\.\d+)+\b|\b[A-Z]+-\d+\b|[<>!=]=|&&|\|\||[a-z]\+\+|\bc#|<\w+>|#\w+"
)  # fmt: skip
QUOTED = re.compile(r"\"([^\"]{1,200})\"|«([^»]{1,200})»|“([^”]{1,200})”|‘([^’]{1,200})’|(?<!\w)'([^']{2,200})'(?!\w)")
_WORD = re.compile(r"[a-z0-9]+(?:['’][a-z]+)?|[^\W_]+")
_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*(?:[-.&][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?:…\n]\s*$")

_CONTRACTED = (
    (re.compile(r"\b(ca)n['’]?t\b"), "can not"), (re.compile(r"\bcannot\b"), "can not"),
    (re.compile(r"\bwon['’]t\b"), "will not"), (re.compile(r"\bain['’]t\b"), "is not"),
    (re.compile(r"\b(do|does|did|is|are|was|were|has|have|had|would|could|should|must|need)n['’]?t\b"), r"\1 not"),
    (re.compile(r"\b(what|where|who|how|when|why|that|there|it|here|he|she)['’]s\b"), r"\1 is"),
    (re.compile(r"\bi['’]m\b"), "i am"), (re.compile(r"['’](re|ve|ll|d|m)\b"), ""), (re.compile(r"['’]s\b"), ""),
    (re.compile(r"s['’](?=\s|$)"), "s"), (re.compile(r"\bunable to\b"), "can not"),
    (re.compile(r"\bnot able to\b"), "can not"), (re.compile(r"\bwhats\b"), "what is"),
    (re.compile(r"\bhow['’]?re\b"), "how are"), (re.compile(r"\bwanna\b"), "want to"), (re.compile(r"\bu\b"), "you"),
    (re.compile(r"\b(e|wi)-(mail|fi)\b"), r"\1 \2"), (re.compile(r"\bno longer\b"), "not"),
    (re.compile(r"\b(?:2fa|2sv|(?:two|2|multi)[ -](?:step|factor)(?: (?:authentication|verification|login))?)\b"),
     "mfa"),
    (re.compile(r"\b(turn|switch|log|sign|call|shut|set|send|give|take|bring|roll|get|opt)(s|ed|ing)?"
                r"((?: (?!to\b|on\b|off\b)\w+){1,4}?)"
                r" (on|off|out|in|up|down|back)\b(?! (?:the|my|your|a|an|our|this)\b)"), r"\1 \4\3"),
    (re.compile(r"\btwo times\b"), "twice"), (re.compile(r"\bany ?more\b"), ""), (re.compile(r"\bas well\b"), ""),
)  # fmt: skip


def plain(text: str) -> str:
    """Small letters without accents, contractions written out."""
    text = without_accents(text).lower()
    for pattern, full in _CONTRACTED:
        text = pattern.sub(full, text)
    return text


def tokens(text: str) -> list[str]:
    """The words of a plain text, numbers included."""
    return _WORD.findall(text.replace("'", " ").replace("’", " "))


def meant(found: Sequence[str], tables: Tables, language: str) -> Iterator[str]:
    """Words by what they mean: the longest known expression at each place is one, any other word its basic form."""
    basic = [lemma(word, language) for word in found]
    at = 0
    while at < len(found):
        longest = max(tables.lengths.get(found[at], 1), tables.lengths.get(basic[at], 1))
        for length in range(min(longest, len(found) - at), 0, -1):
            here = slice(at, at + length)
            known = tables.meanings.get(tuple(found[here])) or tables.meanings.get(tuple(basic[here]))
            if known is not None:
                yield known
                at += length
                break
        else:
            yield basic[at]
            at += 1


def exact_of(text: str) -> tuple[str, ...]:
    """What must be the same to the letter: code, links, addresses, and what stands in quotes."""
    found = {m.group().strip("`") for m in CODE.finditer(text)}
    found |= {next(g for g in m.groups() if g).strip().lower() for m in QUOTED.finditer(text)}
    return tuple(sorted(found))


def names_of(text: str) -> tuple[str, ...]:
    """Words with a capital where none is due. None in a text that is all capitals or all titles."""
    found, capitals = [], 0
    matches = list(_TOKEN.finditer(text))
    for at, match in enumerate(matches):
        word = match.group()
        if not word[0].isupper() or word in _NEVER_NAMES:
            continue
        capitals += 1
        due = at == 0 or _SENTENCE_END.search(text[: match.start()])
        if not due:
            found.append(without_accents(re.sub(r"['’]s$", "", word)).lower())
    words = sum(m.group()[0].isalpha() for m in matches)
    return () if words > 3 and capitals > 0.8 * words else tuple(sorted(set(found)))


_NEVER_NAMES = frozenset(("I", "I'm", "I'd", "I've", "I'll", "I’m", "I’d", "I’ve", "I’ll", "OK", "Hi", "Hello"))
