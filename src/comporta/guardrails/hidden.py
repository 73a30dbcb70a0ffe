"""Texts inside a text: what base64, hex, percent signs, tags, rot13, numbers for letters or letters apart hide."""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

import re2

from comporta.text.stopwords import STOP_WORDS

#: So much is decoded of one text at most: more of it is a burden, not a message.
_MOST_FOUND = 16
_MOST_CHARACTERS = 20_000
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,8192}={0,2}")
_HEX = re.compile(r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[ :,-]?){8,2048}")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2}[\w .,-]{0,3}){4,}")
_ENTITY = re.compile(r"&#x?[0-9a-fA-F]{2,6};")
#: A word of letters with digits or signs inside that stand for letters.
_LEET = re.compile(r"(?=[a-z]*[013457@$!|])(?=[013457@$!|]*[a-z])[a-z013457@$!|]{3,24}")
_LETTERS_OF = str.maketrans("013457@$!|", "oieastasil")
#: Five letters or more, each apart from the next by the same kind of sign.
_APART = re.compile(r"(?<![^\W_])[^\W\d_](?:[ .*_\-|/][^\W\d_]){4,200}(?![^\W_])")
_WORD = re.compile(r"[a-z]{2,}")
#: Whether there is anything to look closer at: most texts have none of it, and an automaton tells in microseconds.
_HINT = re2.compile(
    r"[A-Za-z0-9+/_-]{16}|(?:(?:0x|\\x)?[0-9a-fA-F]{2}[ :,-]?){8}|%[0-9a-fA-F]{2}|&#x?[0-9a-fA-F]{2}"
    r"|[^\W\d_](?:[ .*_\-|/][^\W\d_]){4}"
)
_LEET_HINT = re2.compile(r"(?i)[a-z][013457@$!|]+[a-z].*[013457@$!|]|[013457@$!|][a-z].*[a-z][013457@$!|]+[a-z]")
_TAGS = (0xE0020, 0xE007E)


def payloads(raw: str, plain: str) -> tuple[str, ...]:
    """What is hidden in a text, decoded, without what only decodes to noise. Never raises."""
    plain = plain[:_MOST_CHARACTERS]
    found: list[str] = []
    for text in _all(raw, plain):
        if text not in found and text != plain:
            found.append(text)
            if len(found) == _MOST_FOUND:
                break
    return tuple(found)


def _all(raw: str, plain: str) -> Iterator[str]:
    if not raw.isascii():
        yield from _from_tags(raw)
    if _HINT.search(plain):
        yield from _wrapped(plain)
    yield from _from_rot13(plain)
    if _LEET_HINT.search(plain):
        yield from _from_leet(plain)


def _wrapped(plain: str) -> Iterator[str]:
    yield from filter(_legible, _from_base64(plain))
    yield from filter(_legible, _from_hex(plain))
    if "%" in plain and _PERCENT.search(plain):
        yield unquote(plain, errors="replace")
    if "&#" in plain and _ENTITY.search(plain):
        yield html.unescape(plain)
    yield from _apart(plain)


def _from_tags(raw: str) -> Iterator[str]:
    """The block of tags mirrors ASCII, and no font shows it."""
    low, high = _TAGS
    text = "".join([chr(ord(c) - 0xE0000) for c in raw if low <= ord(c) <= high])
    if len(text) >= 4:
        yield text


def _from_base64(plain: str) -> Iterator[str]:
    for found in _BASE64.finditer(plain):
        body = found.group().rstrip("=").replace("-", "+").replace("_", "/")
        if len(body) % 4 != 1:
            yield _decoded(base64.b64decode, body + "=" * (-len(body) % 4))


def _from_hex(plain: str) -> Iterator[str]:
    for found in _HEX.finditer(plain):
        yield _decoded(bytes.fromhex, re.sub(r"0x|\\x|[ :,-]", "", found.group()))


def _decoded(decode: object, text: str) -> str:
    try:
        return decode(text).decode("utf-8")  # type: ignore[operator,no-any-return]
    except (ValueError, binascii.Error):
        return ""


def _legible(text: str) -> bool:
    """Whether it says something: printable, and words rather than one long noise."""
    if len(text) < 6:
        return False
    good = sum(c.isprintable() or c in "\n\t\r" for c in text)
    letters = sum(c.isalpha() or c == " " for c in text)
    return good >= 0.97 * len(text) and letters >= 0.7 * len(text)


def _from_rot13(plain: str) -> Iterator[str]:
    """Only where the turned text has the small words that the text itself lacks."""
    words = _WORD.findall(plain.lower())
    own = sum(map(STOP_WORDS.__contains__, words))
    if len(words) < 3 or own * 6 > len(words):
        return
    turned = codecs.encode(plain, "rot13")
    other = sum(map(STOP_WORDS.__contains__, _WORD.findall(turned.lower())))
    if other >= 2 and other > 2 * own:
        yield turned


def _from_leet(plain: str) -> Iterator[str]:
    low = plain.lower()
    plainer, changed = _LEET.subn(lambda found: found.group().translate(_LETTERS_OF), low)
    if changed >= 2 and plainer != low:
        yield plainer


def _apart(plain: str) -> Iterator[str]:
    found = [re.sub(r"[ .*_\-|/]", "", one.group()) for one in _APART.finditer(plain)]
    if found:
        yield " ".join(found)
