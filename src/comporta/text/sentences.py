"""A text cut into its sentences: English, Portuguese and Spanish, with lists, abbreviations, decimals and URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BULLET = re.compile(r"[ \t]*(?:[-*•◦▪–—+]|\(?\d{1,3}[.)]|\(?[a-zA-Z]\)|#{1,6}|>)[ \t]+")
_SIGN = re.compile(r"[ \t]*(?:[-*•◦▪–—+]|#{1,6}|>)[ \t]+")
#: Where a sentence may end: the stop, what closes after it, the space. Full-width stops need no space.
_STOP = re.compile(r"(?:(?<![.!?…])[.!?…]++[\"'”’»)\]]*+\s++)|[。！？][」』”]*+\s*+")
_OPENING = "([\"'“‘«¿¡"
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]\Z")
_ENDING = re.compile(r"[.!?…:;。！？][\"'”’»)\]]*\Z")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Never at the end of a sentence: something follows that they introduce.
_INTRODUCING = _set(
    """mr mrs ms dr dra drs dres prof profa sr sra srta srs sras st sto sta eng enga arq exmo exma ilmo ilma gen col
    capt lt sgt rev hon pe fr dom d dña ud uds vd vds vs e.g i.e cf ca approx aprox av avda trav r.ª tel ref obs
    p.ex p.ej ex v.g mt messrs gov sen rep pres dept depto"""
)
#: Abbreviations where a number follows, words otherwise: `no. 5`, but `he said no. Then`.
_BEFORE_NUMBER = _set(
    """no nos n nr núm num art arts pág págs pag p pp fig figs vol vols cap caps sec séc ch eq ed al inc § jan feb mar
    apr jun jul aug sep sept oct nov dec fev abr mai ago set out dez ene dic"""
)
#: As long as a line that was wrapped by hand or by an editor.
_WRAPPED_CHARACTERS = 40
#: As far as a stop's neighbours are looked at, so that a text of nothing but stops takes no longer than another.
_NEAR_CHARACTERS = 40


def sentences(text: str) -> tuple[str, ...]:
    """The sentences in their order, bullets and line breaks inside them gone."""
    found = (_one_line(part) for block in _blocks(text) for part in _cut(block))
    return tuple(sentence for sentence in found if any(c.isalnum() for c in sentence))


def _one_line(part: str) -> str:
    return " ".join(part.split())


def _blocks(text: str) -> Iterator[str]:
    """Lines that belong together: a paragraph, or one item of a list."""
    block: list[str] = []
    for line in text.splitlines():
        if block and not _goes_on(block[-1], line):
            yield "\n".join(block)
            block = []
        if line.strip():
            block.append(_SIGN.sub("", line, count=1) if _SIGN.match(line) else line)
    if block:
        yield "\n".join(block)


def _goes_on(before: str, line: str) -> bool:
    start = line.lstrip()[:1]
    if not start or _BULLET.match(line):
        return False
    before = before.rstrip()
    if len(before) >= _WRAPPED_CHARACTERS:
        return not before.endswith(":")
    return start.islower() and not _ENDING.search(before)


def _cut(block: str) -> Iterator[str]:
    begin = 0
    for stop in _STOP.finditer(block):
        if _ends(block, begin, stop):
            yield block[begin : stop.end()]
            begin = stop.end()
    if begin < len(block):
        yield block[begin:]


def _ends(block: str, begin: int, stop: re.Match[str]) -> bool:
    after = block[stop.end() : stop.end() + _NEAR_CHARACTERS].lstrip("\"'“‘«([¿¡*_")[:1]
    if after.islower() and block[stop.end()] not in "¿¡":
        return False
    if not stop.group().startswith(".") or stop.group().startswith(".."):
        return True
    near = max(begin, stop.start() - _NEAR_CHARACTERS)
    token = (block[near : stop.start()].split() or [""])[-1].lstrip(_OPENING)
    alone = near == begin and token == block[near : stop.start()].strip()
    return not _abbreviates(token, alone, after)


def _abbreviates(token: str, alone: bool, after: str) -> bool:
    """Whether the full stop belongs to the word before it; `alone` where nothing stands before that word."""
    lower = token.lower()
    if lower in _INTRODUCING or (lower in _BEFORE_NUMBER and after.isdigit()):
        return True
    if alone and (token.isdigit() or len(token) == 1):
        return True
    if _DOTTED.match(token):
        return lower not in {"a.m", "p.m", "a.c", "d.c", "b.c"}
    return len(token) == 1 and token.isupper() and token not in {"I", "A", "O", "Y", "E"}
