"""Who asks, for what is written down about it: an admin key's name, or who sits at the data folder."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from fastapi import Request

from comporta.keys.admin import is_folders
from comporta.keys.keys import Keys
from comporta.types import Caller

#: Whom the command line runs as; believed with a data folder's own key alone, since whoever has that can do anything.
BY = "x-comporta-by"
_LONGEST = 100


def identity(keys: Keys) -> Callable[[Request], str]:
    """Says by whom a request is."""

    def who(request: Request) -> str:
        caller: Caller = request.state.caller
        row = keys.row(caller.key_id)
        if row is not None and is_folders(row):
            user = unquote(request.headers.get(BY, "")).strip()[:_LONGEST]
            if user.isprintable() and user:
                return user
        return caller.name or caller.key_id

    return who
