"""Reading what clients send: JSON bodies and their fields, each mistake told with the field's path."""

from __future__ import annotations

import re
from array import array as packed
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import msgspec

from comporta.errors import BadRequest
from comporta.types import JSON, File, Image

#: Deeper bodies could exhaust the stack of whatever walks them later (hashing, masking, encoding).
MAX_DEPTH = 100

#: So many arrays and objects take longer to look at one by one than their text.
_MANY = 20_000
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
#: One level in, or one out: -1 in a signed byte.
_STEPS = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")
#: Half of a surrogate pair, written as an escape.
_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)

Read = Callable[[Any, str], Any]
_decode = msgspec.json.Decoder().decode


def body_of(body: bytes) -> JSON:
    """The body as an object. Raises BadRequest for anything that is not one JSON object of sane depth."""
    try:
        value = _decode(body)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not valid UTF-8 (byte {error.start} of a string)", code="invalid_json") from None
    except msgspec.MsgspecError as error:
        raise BadRequest(f"the body is not valid JSON: {_reason(body, error)}", code="invalid_json") from None
    if type(value) is not dict:
        raise BadRequest(f"the body must be a JSON object, not {kind_of(value)}", code="invalid_json")
    opened = body.count(b"[") + body.count(b"{")
    if opened > MAX_DEPTH:
        if opened > _MANY:
            _check_text(body)
        else:
            _check_depth(value)
    return value


def _reason(body: bytes, error: Exception) -> str:
    """Why a body is no JSON, where the decoder's own words would mislead."""
    if not body.strip():
        return "it is empty"
    if body.startswith(b"\xef\xbb\xbf"):
        return "it begins with a byte order mark, leave that out"
    if _HALF.search(body):
        return "an escape like \\ud83d stands without its other half"
    return str(error)


def _check_text(body: bytes) -> None:
    """The same for millions of arrays and objects, from the text alone: many times as fast as looking at each."""
    steps = packed("b", _STRING.sub(b"", body).translate(_STEPS, _NO_BRACKETS))
    if max(accumulate(steps)) > MAX_DEPTH:
        raise _too_deep()


def _too_deep() -> BadRequest:
    return BadRequest(f"the body is nested more than {MAX_DEPTH} levels deep", code="invalid_json")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            inside = item.values() if type(item) is dict else item
            below.extend(v for v in inside if type(v) is dict or type(v) is list)
        if not below:
            return
        level = below
    raise _too_deep()


_KINDS = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "an array", dict: "an object"}


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    return _KINDS.get(type(value), "null")


def wrong(path: str, wanted: str, value: Any) -> BadRequest:
    """The error for a value of the wrong type."""
    return BadRequest(f"{path} must be {wanted}, not {kind_of(value)}", param=path)


def missing(path: str) -> BadRequest:
    """The error for a field that must be there."""
    return BadRequest(f"{path} is required", code="missing_required_parameter", param=path)


def text(value: Any, path: str) -> str:
    if type(value) is not str:
        raise wrong(path, "a string", value)
    return value


def word(value: Any, path: str) -> str:
    """A string that names something: not empty, and without the NUL that databases can't hold."""
    if type(value) is not str:
        raise wrong(path, "a string", value)
    if not value or "\0" in value:
        raise BadRequest(f"{path} must {'not hold a NUL character' if value else 'not be empty'}", param=path)
    return value


def flag(value: Any, path: str) -> bool:
    if type(value) is not bool:
        raise wrong(path, "a boolean", value)
    return value


def whole_number(value: Any, path: str) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        # JSON knows one kind of number, and some clients write 100 as 100.0.
        return int(value)
    raise BadRequest(f"{path} must be an integer, not {_number_kind(value)}", param=path)


def _number_kind(value: Any) -> str:
    return "a number with a fraction" if type(value) is float else kind_of(value)


def number(low: float, high: float) -> Read:
    """A reader of numbers from `low` to `high`."""

    def read(value: Any, path: str) -> float:
        if type(value) is not float and type(value) is not int:
            raise wrong(path, "a number", value)
        if not low <= value <= high:
            raise BadRequest(f"{path} must be between {low:g} and {high:g}, not {_shown(value)}", param=path)
        return value

    return read


def integer(low: int, high: int = 2**63 - 1) -> Read:
    """A reader of integers from `low` to `high`."""

    def read(value: Any, path: str) -> int:
        number = whole_number(value, path)
        if not low <= number <= high:
            raise BadRequest(f"{path} must be {_bounds(low, high)}, not {_shown(value)}", param=path)
        return number

    return read


def _bounds(low: int, high: int) -> str:
    return f"at least {low}, and fit into 64 bits" if high == 2**63 - 1 else f"between {low} and {high}"


def _shown(value: float) -> str:
    """A number as an error tells it: it may have thousands of digits."""
    text = str(value)
    return text if len(text) <= 30 else f"{text[:20]}… ({len(text)} digits)"


def obj(value: Any, path: str) -> JSON:
    if type(value) is not dict:
        raise wrong(path, "an object", value)
    return value


def array(value: Any, path: str) -> list[Any]:
    if type(value) is not list:
        raise wrong(path, "an array", value)
    return value


def words(value: Any, path: str) -> tuple[str, ...]:
    """A list of strings."""
    return tuple(text(item, f"{path}[{i}]") for i, item in enumerate(array(value, path)))


def stops(value: Any, path: str) -> tuple[str, ...]:
    """One stop sequence or a list of them; empty ones would match everywhere and are left out."""
    if type(value) is str:
        return (value,) if value else ()
    if type(value) is not list:
        raise wrong(path, "a string or an array of strings", value)
    return tuple(item for item in words(value, path) if item)


def field(holder: JSON, name: str, path: str, read: Read) -> Any:
    """A field that must be there, read."""
    value = holder.get(name)
    if value is None:
        raise missing(f"{path}.{name}" if path else name)
    return read(value, f"{path}.{name}" if path else name)


def option(holder: JSON, name: str, path: str, read: Read) -> Any:
    """A field that may be absent or null, read."""
    value = holder.get(name)
    return None if value is None else read(value, f"{path}.{name}" if path else name)


Fields = Mapping[str, tuple[str, Read]]


def fields_of(body: JSON, known: Fields, skip: frozenset[str]) -> dict[str, Any]:
    """The body's fields under their canonical names; those that have none gather in `extra`. Null is absent."""
    found: dict[str, Any] = {}
    extra: JSON = {}
    for name, value in body.items():
        if value is None or name in skip:
            continue
        entry = known.get(name)
        if entry is None:
            extra[name] = value
        else:
            found[entry[0]] = entry[1](value, name)
    if extra:
        found["extra"] = extra
    return found


def session_of(metadata: JSON | None) -> str | None:
    """The session that a client names in `metadata.session_id`."""
    value = metadata.get("session_id") if metadata else None
    return None if value is None else word(value, "metadata.session_id")


# ---- inline data ----------------------------------------------------------------------------------------------------


def data_url(url: str, path: str) -> tuple[str, str]:
    """Media type and base64 text of a data URL."""
    head, comma, data = url.partition(",")
    media_type, *marks = head[5:].split(";")
    if not comma or "base64" not in marks:
        raise BadRequest(f"{path} is a data URL without ';base64,': send the data as base64", param=path)
    if not media_type or not data:
        raise BadRequest(f"{path} is a data URL without {'data' if media_type else 'a media type'}", param=path)
    return media_type, data


def image_at(url: str, path: str, detail: str | None = None, cache_control: JSON | None = None) -> Image:
    """An image from a URL, inline where it is a data URL."""
    if url[:5].lower() != "data:":
        return Image(url=word(url, path), detail=detail, cache_control=cache_control)
    media_type, data = data_url(url, path)
    return Image(data=data, media_type=media_type, detail=detail, cache_control=cache_control)


def file_of(holder: JSON, path: str, data_name: str = "file_data", cache_control: JSON | None = None) -> File:
    """A document in OpenAI's words: `file_data` (data URL, URL or base64), `file_url`, `file_id`, `filename`."""
    given = option(holder, data_name, path, word)
    name = option(holder, "filename", path, text)
    url = option(holder, "file_url", path, word)
    identity = option(holder, "file_id", path, word)
    if given is None and url is None and identity is None:
        raise missing(f"{path}.{data_name}")
    data, media_type = given, None
    if given is not None and given[:5].lower() == "data:":
        media_type, data = data_url(given, f"{path}.{data_name}")
    elif given is not None and given.startswith(("http://", "https://")):
        data, url = None, given
    return File(data=data, media_type=media_type, url=url, id=identity, name=name, cache_control=cache_control)
