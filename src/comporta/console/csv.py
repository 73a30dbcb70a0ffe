"""Tables as CSV, sent as they are read: a file of a hundred thousand rows takes no memory."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence

from starlette.responses import Response, StreamingResponse

from comporta.errors import ComportaError

#: What spreadsheets take for a formula: users' own words must not become one (OWASP, «CSV injection»).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def csv_of(name: str, rows: AsyncIterator[Sequence[object]]) -> Response:
    """The response; the first row is waited for, so that a refusal is one and no broken file. Raises what `rows` do."""
    first = await anext(rows, ())
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return StreamingResponse(_lines(first, rows), media_type="text/csv; charset=utf-8", headers=headers)


async def _lines(first: Sequence[object], rows: AsyncIterator[Sequence[object]]) -> AsyncIterator[str]:
    yield line(first)
    try:
        async for row in rows:
            yield line(row)
    except ComportaError as error:
        # The status is sent already: a file that is not whole must say so itself.
        yield line([f"INCOMPLETE: {error.message}"])


def line(row: Sequence[object]) -> str:
    """One line. Numbers stay numbers; a text that a spreadsheet would run gets an apostrophe in front."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return "" if value is None else value
