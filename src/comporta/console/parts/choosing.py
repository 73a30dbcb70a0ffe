"""What narrows a page down: ranges of time and filters. They are links and a form, so that the address says it all."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from msgspec import Struct

from comporta.console.parts.tags import tag
from comporta.console.view import View

RANGES = {
    "1h": datetime.timedelta(hours=1),
    "24h": datetime.timedelta(hours=24),
    "7d": datetime.timedelta(days=7),
    "30d": datetime.timedelta(days=30),
}


class Range(Struct, frozen=True):
    """A stretch of time that ends now; `step_s` cuts it into some sixty parts."""

    name: str
    since: datetime.datetime
    until: datetime.datetime
    step_s: int

    @property
    def length(self) -> datetime.timedelta:
        return self.until - self.since


_STEPS = {"1h": 60, "24h": 1800, "7d": 10_800, "30d": 43_200}


def range_of(view: View, default: str = "24h") -> Range:
    """What `?range=` asks for, from the start of a step, so that parts are whole."""
    name = view.query.get("range", default)
    name = name if name in RANGES else default
    step_s = _STEPS[name]
    now_s = datetime.datetime.now(datetime.UTC).timestamp()
    end = datetime.datetime.fromtimestamp((now_s // step_s + 1) * step_s, datetime.UTC)
    return Range(name, end - RANGES[name], end, step_s)


def range_links(view: View, chosen: Range) -> None:
    """The ranges as links."""
    links(view.t("range"), [(view.t(f"range_{n}"), view.link(range=n, after=None), n == chosen.name) for n in RANGES])


def links(label: str, choices: Sequence[tuple[str, str, bool]]) -> None:
    """A few choices side by side: text, address, whether it is the chosen one."""
    with tag("nav.choices", aria_label=label):
        for text, href, chosen in choices:
            tag("a.choices__one", text, href=href, aria_current="true" if chosen else None)


class Filter(Struct, frozen=True):
    """A field of the form, by its name in the query. With `options` (value, text) it is a list to choose from."""

    name: str
    label: str
    options: Sequence[tuple[str, str]] | None = None
    placeholder: str = ""
    kind: str = "text"


def filters(view: View, fields: Sequence[Filter], *, keep: Sequence[str] = ("range",)) -> None:
    """A form that leads to this page with its fields in the query; what `keep` names stays as it is."""
    chosen = [field for field in fields if view.query.get(field.name)]
    with tag("details.filters", open=bool(chosen)):
        tag("summary.button", f"{view.t('filters')} · {len(chosen)}" if chosen else view.t("filters"))
        with tag("form.filters__form", method="get", action=view.place):
            for name in keep:
                if view.query.get(name):
                    tag("input", type="hidden", name=name, value=view.query[name])
            for field in fields:
                _field(view, field)
            with tag("div.filters__acts"):
                tag("button.button.button--main", view.t("filter"), type="submit")
                if chosen:
                    tag("a.button", view.t("clear"), href=view.link(view.place, **_kept(view, keep)))


def _kept(view: View, keep: Sequence[str]) -> dict[str, str]:
    return {name: view.query[name] for name in keep if view.query.get(name)}


def _field(view: View, field: Filter) -> None:
    value = view.query.get(field.name, "")
    with tag("label.field"):
        tag("span.field__label", field.label)
        if field.options is None:
            tag("input.input", name=field.name, value=value, type=field.kind, placeholder=field.placeholder or None,
                maxlength="256", step="any" if field.kind == "number" else None)  # fmt: skip
            return
        with tag("select.input", name=field.name):
            known = [("", view.t("any")), *field.options]
            if value and value not in dict(known):
                known.append((value, value))
            for option, text in known:
                tag("option", text, value=option, selected=option == value)


def pages(view: View, next_page: str | None, *, csv: str = "") -> None:
    """The way to older rows, back to the newest, and to a file of them."""
    with tag("nav.pages", aria_label=view.t("older")):
        if csv:
            tag("a.button", view.t("csv"), href=csv, download=True)
        if view.query.get("after"):
            tag("a.button", view.t("newest"), href=view.link(after=None))
        if next_page:
            tag("a.button", view.t("older"), href=view.link(after=next_page), rel="next", data_key="older")
