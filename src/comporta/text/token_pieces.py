"""A text cut where tokenizers cut it first, and each piece's class: what the estimate of tokens counts.

All byte-pair encodings in use split a text into words, numbers, marks and blank space before they merge anything, so
the tokens of a text are the sum over its pieces. A piece's class is what it has in common with others of about as many
tokens: its script, its length, what stands before it, and whether the text is English.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from comporta.text import everyday
from comporta.text.stopwords import ENGLISH, NEIGHBOURS, PORTUGUESE, SPANISH

#: Letters with the one mark or space before them; up to three digits; marks with the lines they end; blank space.
_PIECE = re.compile(r"(?:[^\r\n\w]|_)?[^\W\d_]+|\d{1,3}| ?(?:[^\w\s]|_)+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^A-Za-z]+")
_EN = (ENGLISH | everyday.ENGLISH) - PORTUGUESE - SPANISH
_OTHERS = (
    PORTUGUESE | SPANISH | NEIGHBOURS | everyday.PORTUGUESE | everyday.SPANISH | everyday.FRENCH | everyday.GERMAN
    | everyday.ITALIAN | everyday.DUTCH
) - ENGLISH - everyday.ENGLISH  # fmt: skip
_SMALL = ENGLISH | everyday.ENGLISH | PORTUGUESE | SPANISH | everyday.PORTUGUESE | everyday.SPANISH
#: Where scripts begin; what lies before the first is Latin.
_SCRIPTS = (
    (0x370, "greek"), (0x400, "cyrillic"), (0x530, "rare"), (0x590, "hebrew"), (0x600, "arabic"), (0x700, "rare"),
    (0x900, "devanagari"), (0x980, "indic"), (0xE00, "thai"), (0xE80, "rare"), (0x1100, "hangul"), (0x1200, "rare"),
    (0x1E00, "latin"), (0x1F00, "greek"), (0x2000, "rare"), (0x3040, "kana"), (0x3100, "han"), (0xAC00, "hangul"),
    (0xD7B0, "rare"), (0xF900, "han"), (0xFB00, "rare"), (0x20000, "han"),
)  # fmt: skip
#: Pieces are told apart by their length up to here; longer ones cost by the character.
LONGEST = 14


def pieces(text: str) -> Counter[str]:
    """How often each piece occurs."""
    return Counter(_PIECE.findall(text))


def is_foreign(found: Counter[str]) -> bool:
    """Whether the small words are those of another language than English, whose words take fewer tokens."""
    balance = 0
    for piece, count in found.items():
        word = piece[1:] if piece[0] == " " else piece
        if word in _OTHERS:
            balance += count
        elif word in _EN:
            balance -= count
    return balance > 0


@lru_cache(1 << 14)
def classes(piece: str, foreign: bool) -> tuple[tuple[str, int], ...]:
    """A piece's classes, each with how many characters of its kind it has where they count one by one (else 1)."""
    first = piece[0]
    if first.isalpha():
        return tuple(_word(piece, "n", foreign))
    if len(piece) > 1 and piece[1].isalpha():
        return tuple(_word(piece[1:], "s" if first == " " else "p", foreign))
    if first.isdigit():
        return ((f"digits{len(piece)}", 1),)
    if piece.isspace():
        return _blank(piece)
    return _marks(piece)


def _blank(piece: str) -> tuple[tuple[str, int], ...]:
    kind = "lines" if "\n" in piece or "\r" in piece else "tabs" if "\t" in piece else "spaces"
    length = len(piece)
    return ((f"{kind}{length}", 1),) if length <= 4 else ((f"{kind}+", length),)


def _marks(piece: str) -> tuple[tuple[str, int], ...]:
    wide = sum(c >= "\u2600" for c in piece)
    if wide:
        return (("pictures", wide),)
    marks = piece.strip()
    kind = ("s" if piece[0] == " " else "") + ("marks" if marks.isascii() else "signs")
    ending = "l" if piece[-1] in "\r\n" else ""
    length = len(marks)
    return ((f"{kind}{length}{ending}", 1),) if length <= 4 else ((f"{kind}+", length),)


def _word(word: str, before: str, foreign: bool) -> Iterator[tuple[str, int]]:
    script = _script(word[-1])
    if script != "latin":
        yield script, len(word)
    elif word.lower() in _SMALL:
        yield f"small-{before}", 1
    elif word.isupper() and len(word) > 1:
        yield _sized("upper", before, len(word))
    elif word.islower() or word[1:].islower() or len(word) == 1:
        yield _sized(_kind(word, foreign), before, len(word))
    else:
        for at, hump in enumerate(_HUMP.findall(word)):
            kind = "upper" if hump.isupper() and len(hump) > 1 else _kind(hump, foreign)
            yield _sized(kind, "n" if at else before, len(hump))


def _kind(word: str, foreign: bool) -> str:
    return "accented" if not word.isascii() else "foreign" if foreign else "english"


def _sized(kind: str, before: str, length: int) -> tuple[str, int]:
    return (f"{kind}-{before}{length}", 1) if length <= LONGEST else (f"{kind}-{before}+", length)


def _script(letter: str) -> str:
    code = ord(letter)
    name = "latin"
    for start, script in _SCRIPTS:
        if code < start:
            break
        name = script
    return name
