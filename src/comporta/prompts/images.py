"""Images as values of a prompt: a URL, a data URL, or an object, read into the part that a message carries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from comporta.types import Image

_DATA_URL = re.compile(r"data:(image/[A-Za-z0-9.+-]{1,40});base64,", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]++={0,2}\s*+")
_WEB = re.compile(r"https?://[^\s/?#]++\S*+", re.IGNORECASE)
_KEYS = {"url", "data", "media_type", "detail"}


def image_of(value: Any) -> Image | None:
    """The image that a value means; None where it means none."""
    if isinstance(value, Image):
        return value
    if isinstance(value, str):
        return _from_text(value)
    if not isinstance(value, Mapping) or not _KEYS.issuperset(value):
        return None
    detail = value.get("detail")
    if detail is not None and not isinstance(detail, str):
        return None
    found = _from_fields(value)
    if found is None or detail is None:
        return found
    return Image(data=found.data, media_type=found.media_type, url=found.url, detail=detail)


def _from_text(text: str) -> Image | None:
    if match := _DATA_URL.match(text):
        data = text[match.end() :]
        return Image(data=data, media_type=match[1].lower()) if _BASE64.fullmatch(data) else None
    return Image(url=text) if _WEB.fullmatch(text) else None


def _from_fields(fields: Mapping[str, Any]) -> Image | None:
    url, data, media_type = fields.get("url"), fields.get("data"), fields.get("media_type")
    if isinstance(url, str) and data is None:
        return _from_text(url)
    if url is not None or not isinstance(data, str) or not isinstance(media_type, str):
        return None
    return Image(data=data, media_type=media_type) if _BASE64.fullmatch(data) else None
