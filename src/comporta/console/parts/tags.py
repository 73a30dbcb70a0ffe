"""HTML elements by name, with classes and attributes; their text is text, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

from nicegui.element import Element
from nicegui.events import GenericEventArguments, ObservableChangeEventArguments

#: Attributes that browsers follow: nothing but paths and web addresses may stand there.
_ADDRESSES = ("href", "src", "action", "formaction")
_SCHEMES = ("", "http", "https", "mailto")


class Tag(Element):
    """`tag("a.link.small", "Calls", href="/calls")`; a trailing `_` is dropped (`for_`), `_` inside becomes `-`."""

    def __init__(self, spec: str, text: object = None, **attributes: Any) -> None:
        name, *classes = spec.split(".")
        super().__init__(name or "div")
        _loosened(self)
        self._classes.extend(classes)
        if text is not None:
            self._text = str(text)
        self.set(**attributes)

    def set(self, **attributes: Any) -> Self:
        """Attributes; None and False leave one out, True sets it without a value."""
        for name, value in attributes.items():
            key = name.rstrip("_").replace("_", "-")
            if value is None or value is False:
                self._props.pop(key, None)
                continue
            if key in _ADDRESSES:
                value = address(str(value))
            # As the attribute, which is where a field begins: the property would be set anew, over what was typed,
            # whenever anything on the page changes.
            self._props["^value" if key == "value" else key] = "" if value is True else value
        return self

    def say(self, text: object) -> None:
        """Change the text."""
        self._text = str(text)
        self.update()

    def hears(self, event: str, act: Callable[..., Any], js: str | None = None) -> Self:
        """Call `act` at a browser's event, with what the JavaScript `js` makes of it: `(e) => emit(e.target.value)`.

        `js` is code: nothing that somebody typed may go into it.
        """
        if js is None:
            self.on(event, lambda: act(), args=[])
        else:
            self.on(event, _with_args(act), js_handler=js)
        return self


def _loosened(element: Element) -> None:
    """Have an element's classes, style and attributes tell of changes without holding themselves.

    The interface gives each of them its own bound method to call, so that none is free until all of memory is gone
    through, which held a console up for seconds after some hundred pages.
    """
    for part in (element._classes, element._style, element._props):
        part._change_handlers = [_CHANGED]


def _changed(event: ObservableChangeEventArguments) -> None:
    event.sender._update()  # type: ignore[attr-defined]


_CHANGED = (_changed, True)


def tag(spec: str, text: object = None, **attributes: Any) -> Tag:
    """An element inside the one that is open (`with`)."""
    return Tag(spec, text, **attributes)


def address(text: str) -> str:
    """The address, or `#` for one that would run something."""
    try:
        scheme = urlsplit(text.strip()).scheme.lower()
    except ValueError:
        return "#"
    return text if scheme in _SCHEMES else "#"


def _with_args(act: Callable[..., Any]) -> Callable[[GenericEventArguments], Any]:
    def told(event: GenericEventArguments) -> Any:
        return act(event.args)

    return told
