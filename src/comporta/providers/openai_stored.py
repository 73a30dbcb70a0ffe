"""Responses that an upstream keeps itself: the requests that show and delete one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote, urlencode

from comporta.providers.base import Endpoint, Request
from comporta.providers.openai import address, headers_of


def stored(
    endpoint: Endpoint,
    method: Literal["GET", "DELETE"],
    id: str,
    below: str = "",
    query: Mapping[str, str] | None = None,
) -> Request:
    """The request for a response, or for what lies `below` it (`/input_items`)."""
    url = address(endpoint, f"responses/{quote(id, safe='')}{below}", "")
    if query:
        url += ("&" if "?" in url else "?") + urlencode(query)
    headers = headers_of(endpoint)
    del headers["content-type"]
    return Request(url, b"", headers, method=method)
