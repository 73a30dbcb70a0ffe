"""Our own components in JavaScript (web/*.js): an icon, a table, a chart, a waterfall, a point in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nicegui.elements.echart  # noqa: F401  (makes its library known to the browser)
from msgspec import UNSET, Struct, UnsetType, to_builtins
from nicegui.element import Element
from nicegui.events import GenericEventArguments

WEB = Path(__file__).parent.parent / "web"


def _given(values: Sequence[Any]) -> tuple[Any, ...]:
    """What goes to the browser as a list. The interface watches every list and dictionary in a list for changes, each
    by an object of its own: a tuple it leaves alone, with all that is in it.
    """
    return tuple(to_builtins(list(values)))


class Icon(Element, component=WEB / "icon.js"):
    """A drawing by its name in web/icon.js; of no meaning to a screen reader unless it has a label."""

    def __init__(self, name: str, label: str | None = None) -> None:
        super().__init__()
        self._props["name"] = name
        if label:
            self._props["label"] = label


class When(Element, component=WEB / "when.js", dependencies=[WEB / "comporta-moments.js"]):
    """A moment in the reader's own time zone: `style` is `ago`, `time`, `day` or `full`."""

    def __init__(self, at_s: float, style: str = "ago") -> None:
        super().__init__()
        self._props["at"] = at_s
        self._props["mode"] = style


class Column(Struct, frozen=True, omit_defaults=True):
    """A table's column. `kind`: text, number (to the right, figures of one width), badge, when, bar."""

    key: str
    label: str
    kind: str = "text"
    #: On a phone it is left out.
    wide: bool = False
    #: Where its head leads: another order.
    href: str = ""
    #: "asc" or "desc" where the table is in its order.
    sorted: str = ""
    title: str = ""


class Cell(Struct, frozen=True, omit_defaults=True):
    """A value with more to it. `tone`: good, warn, bad, info, dim; `share` (0 to 1) draws a bar behind it."""

    text: str
    tone: str = ""
    href: str = ""
    title: str = ""
    #: A second line, dimmed.
    sub: str = ""
    share: float | UnsetType = UNSET
    #: Epoch seconds, for columns of kind `when`.
    at: float | UnsetType = UNSET


class Row(Struct, frozen=True, omit_defaults=True):
    """A table's row: its cells by column (plain text or a Cell), and where it leads."""

    cells: Mapping[str, str | Cell]
    href: str = ""
    tone: str = ""
    #: Told with a click where the row leads nowhere.
    id: str = ""


class Table(Element, component=WEB / "grid.js", dependencies=[WEB / "comporta-moments.js"]):
    """Rows that `j`, `k` and Enter move through. `label` is what a screen reader calls it."""

    def __init__(
        self, label: str, columns: Sequence[Column], rows: Sequence[Row], *, on_row: Callable[[str], Any] | None = None
    ) -> None:
        super().__init__()
        self._props["label"] = label
        self._props["columns"] = _given(columns)
        self._props["rows"] = _given(rows)
        if on_row is not None:
            self._props["clicks"] = True
            self.on("row", _with(on_row))

    def show(self, rows: Sequence[Row]) -> None:
        """Other rows in their place."""
        self._props["rows"] = _given(rows)
        self.update()


class Line(Struct, frozen=True, omit_defaults=True):
    """One series of a chart. `kind`: line, area, bar, before (a dashed line: the period before)."""

    name: str
    values: Sequence[float | None]
    kind: str = "line"
    #: accent, good, warn, bad, info, dim, or empty: the next of the palette.
    tone: str = ""


class Mark(Struct, frozen=True, omit_defaults=True):
    """Something that happened, as a thin line over a chart: a deployment, an alert."""

    at: float
    text: str
    tone: str = "info"
    href: str = ""


class Chart(Element, component=WEB / "chart.js"):
    """Values over time. `unit`: number, money (micro-dollars), seconds, share, bytes.

    `times` are epoch seconds, one for each value of every line; `stack` piles bars and areas up. It follows light and
    dark by itself, and draws no text as HTML.
    """

    def __init__(
        self, label: str, times: Sequence[float], lines: Sequence[Line], *, unit: str = "number",
        marks: Sequence[Mark] = (), stack: bool = False, height_px: int = 220, legend: bool | None = None,
        locale: str = "en-US",
    ) -> None:  # fmt: skip
        super().__init__()
        self._props["label"] = label
        self._props["times"] = tuple(times)
        self._props["lines"] = _given(lines)
        self._props["marks"] = _given(marks)
        self._props["unit"] = unit
        self._props["stack"] = stack
        self._props["height"] = height_px
        self._props["legend"] = len(lines) > 1 if legend is None else legend
        self._props["locale"] = locale

    def show(self, times: Sequence[float], lines: Sequence[Line], marks: Sequence[Mark] = ()) -> None:
        """Other values in their place."""
        self._props["times"] = tuple(times)
        self._props["lines"] = _given(lines)
        self._props["marks"] = _given(marks)
        self.update()


class Spark(Element, component=WEB / "spark.js"):
    """A line without axes, in the height of a text."""

    def __init__(self, values: Sequence[float | None], tone: str = "accent") -> None:
        super().__init__()
        self._props["values"] = tuple(values)
        self._props["tone"] = tone


def _with(act: Callable[[str], Any]) -> Callable[[GenericEventArguments], Any]:
    def told(event: GenericEventArguments) -> Any:
        return act(str(event.args))

    return told


class Bar(Struct, frozen=True):
    """A span: its name, how deep it lies, when it begins and how long it takes, and a word more."""

    name: str
    depth: int
    start_us: int
    duration_us: int
    tone: str = ""
    detail: str = ""
    #: Whether its name stands out: a call among stages.
    strong: bool = False


class Waterfall(Element, component=WEB / "waterfall.js"):
    """Spans over time; thousands of them are no more work than those in sight. `on_span` hears the number chosen."""

    def __init__(
        self, label: str, bars: Sequence[Bar], *, chosen: int = -1, height_px: int = 420,
        on_span: Callable[[int], Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        names = {name: i for i, name in enumerate(dict.fromkeys(bar.name for bar in bars))}
        self._props["label"] = label
        self._props["names"] = tuple(names)
        self._props["spans"] = tuple(
            (names[bar.name], bar.depth, bar.start_us, max(bar.duration_us, 0), bar.tone, bar.detail, bar.strong)
            for bar in bars
        )
        self._props["length"] = max((bar.start_us + bar.duration_us for bar in bars), default=1) or 1
        self._props["chosen"] = chosen
        self._props["height"] = height_px
        if on_span is not None:
            self.on("span", lambda event: on_span(int(event.args)))
