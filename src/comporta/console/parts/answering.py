"""One model's answer on a page: as it comes, with what it took and cost, and what can be done with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from nicegui import background_tasks

from comporta.console.parts.acting import button
from comporta.console.parts.pieces import badge
from comporta.console.parts.tags import tag
from comporta.console.playing import Heard
from comporta.console.view import View
from comporta.console.words import Texts, Words
from comporta.errors import ComportaError
from comporta.types import JSON

TEXTS: Texts = {
    "stopped": ("stopped", "parado"),
    "first": ("first {time}", "primeiro {time}"),
    "tokens": ("{n_in} → {n_out} tokens", "{n_in} → {n_out} tokens"),
    "rate": ("{n} tokens/s", "{n} tokens/s"),
    "trace": ("Trace", "Rastro"),
    "save_case": ("Save as test case", "Salvar como caso de teste"),
    "answer": ("Answer", "Resposta"),
    "waits": ("The answer comes here.", "A resposta aparece aqui."),
    "model": ("Model or route", "Modelo ou rota"),
    "own_model": ("as the prompt says", "como o prompt diz"),
    "remove": ("Remove", "Remover"),
}
#: A text that grows is sent to the browser so often, whatever the model's speed.
_DRAW_S = 0.06


class Column:
    """One model's answer: its name to change, what it says, and what that took and cost."""

    def __init__(
        self, view: View, model: str, put: Callable[[str], None], remove: Callable[[], None] | None,
        save: Callable[[Column], Any],
    ) -> None:  # fmt: skip
        self._view = view
        self._words = Words(view.t.language, TEXTS)
        self.model = model
        self._put = put
        self.heard = Heard()
        self.call_id: str | None = None
        self._task: asyncio.Task[None] | None = None
        with tag("section.card.play__column"):
            with tag("div.row.spread"):
                named = tag("input.input", value=model, list="models", maxlength=200, aria_label=self._words("model"),
                            placeholder=self._words("own_model"))  # fmt: skip
                named.hears("input", self._named, "(e) => emit(e.target.value)")
                if remove is not None:
                    tag("button.ghost", "×", type="button", aria_label=self._words("remove")).hears("click", remove)
            self._out = tag("div.play__answer", self._words("waits"), aria_live="polite", role="region",
                            aria_label=self._words("answer"), tabindex="0")  # fmt: skip
            self._figures = tag("div.chips.play__figures")
            self._after = tag("div.row")
        self._save = save

    def _named(self, name: str) -> None:
        self.model = str(name).strip()
        self._put(self.model)

    def begin(self, body: JSON, headers: dict[str, str], *, alive: Callable[[], bool]) -> None:
        """Ask; an answer that is still coming is given up."""
        self.stop()
        self.heard, self.call_id = Heard(), None
        self._figures.clear()
        self._after.clear()
        self._out.say("…")
        self._task = background_tasks.create(self._ask(body, headers, alive))

    def stop(self) -> None:
        """Give up what is still coming: its call ends at the gate."""
        if self._task is not None and not self._task.done():
            self._task.cancel()

    async def _ask(self, body: JSON, headers: dict[str, str], alive: Callable[[], bool]) -> None:
        began = time.perf_counter()
        first_s: float | None = None
        drawn_s = 0.0
        told: dict[str, str] = {}
        failure = ""
        try:
            async with self._view.stream("/v1/chat/completions", body, headers) as answer:
                told = dict(answer.headers)
                async for data in answer.events:
                    if self.heard.take(data):
                        first_s = first_s or time.perf_counter() - began
                        if time.perf_counter() - drawn_s > _DRAW_S:
                            drawn_s = time.perf_counter()
                            self._draw()
                    if not alive():
                        return
        except ComportaError as error:
            failure = error.message
        except asyncio.CancelledError:
            failure = self._words("stopped")
        if not self._out.is_deleted:
            self.call_id = told.get("x-comporta-call")
            self._draw(failure)
            self._told(told, time.perf_counter() - began, first_s)

    def _draw(self, failure: str = "") -> None:
        heard = self.heard
        parts = [heard.thought and f"[{heard.thought}]", heard.text, heard.tools, failure and f"— {failure}"]
        self._out.say("\n\n".join(part for part in parts if part) or "–")
        self._out.classes(add="bad" if failure else "", remove="" if failure else "bad")

    def _told(self, told: dict[str, str], took_s: float, first_s: float | None) -> None:
        view, heard = self._view, self.heard
        with self._figures:
            badge(view.t.seconds(took_s), "info")
            if first_s is not None:
                badge(self._words("first", time=view.t.seconds(first_s)), "dim")
            if heard.cost_usd is not None:
                badge(view.t.money(heard.cost_usd * 1e6), "accent")
            if heard.tokens_out is not None:
                number = view.t.number
                badge(self._words("tokens", n_in=number(heard.tokens_in), n_out=number(heard.tokens_out)), "dim")
            if heard.tokens_out and took_s > 0:
                badge(self._words("rate", n=view.t.number(heard.tokens_out / took_s)), "dim")
            for name in ("x-comporta-model", "x-comporta-variant"):
                if told.get(name) and told[name] != self.model:
                    badge(told[name], "dim")
            if told.get("x-comporta-cache") in ("exact", "semantic"):
                badge(told["x-comporta-cache"], "info")
        with self._after:
            if self.call_id is not None:
                trace = self.call_id.replace("-", "")
                place = view.link(f"/traces/{trace}", call=self.call_id, new=1)
                tag("a.button.button--small", self._words("trace"), href=place)
                button(view, self._words("save_case"), lambda: self._save(self), tone="small")
