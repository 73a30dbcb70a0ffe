"""The playground: a prompt with its variables or free messages, asked of several models side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from nicegui import context

from comporta.console.cases import CASE, case_text
from comporta.console.page import Page
from comporta.console.parts.acting import Field, ask, button, check, go, say, text
from comporta.console.parts.answering import Column
from comporta.console.parts.choosing import links
from comporta.console.parts.judging import judge
from comporta.console.parts.pieces import card, head, notice
from comporta.console.parts.tags import tag
from comporta.console.playing import (
    Line,
    as_file,
    bumped,
    draft_body,
    free_body,
    lines_of,
    params_of,
    prompt_body,
    read_draft,
    with_version,
)
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.errors import BadRequest, ComportaError
from comporta.prompts.values import Variable
from comporta.telemetry.calls import one_call
from comporta.types import JSON

TEXTS: Texts = {
    "title": ("Playground", "Playground"),
    "about": (
        "Ask several models the same, and see what each says, takes and costs.",
        "Pergunte o mesmo a vários modelos e veja o que cada um diz, demora e custa.",
    ),
    "free": ("Messages", "Mensagens"),
    "by_prompt": ("A prompt", "Um prompt"),
    "prompt": ("Prompt", "Prompt"),
    "open": ("Open", "Abrir"),
    "text": ("The prompt's file", "O arquivo do prompt"),
    "draft": ("changed: asked as a draft", "alterado: pedido como rascunho"),
    "variables": ("Variables", "Variáveis"),
    "role": ("Role", "Papel"),
    "system": ("System", "Sistema"),
    "user": ("User", "Usuário"),
    "assistant": ("Assistant", "Assistente"),
    "message": ("Message", "Mensagem"),
    "add_message": ("Add a message", "Mais uma mensagem"),
    "remove": ("Remove", "Remover"),
    "add_model": ("Add a model", "Mais um modelo"),
    "temperature": ("Temperature", "Temperatura"),
    "max_tokens": ("Most tokens", "Máximo de tokens"),
    "fresh": ("Answer afresh, not from the cache", "Responder de novo, sem cache"),
    "run": ("Run", "Executar"),
    "stop": ("Stop", "Parar"),
    "save_case": ("Save as test case", "Salvar como caso de teste"),
    "save_version": ("Save as version …", "Salvar como versão …"),
    "expected": ("What a good answer does", "O que uma boa resposta faz"),
    "is_reference": ("This answer is a good one", "Esta resposta é boa"),
    "case_saved": (
        "Saved. The prompt's page gives all cases as a file.",
        "Salvo. A página do prompt dá todos os casos em arquivo.",
    ),
    "version": ("Version", "Versão"),
    "prompt_id": ("The prompt's id", "O id do prompt"),
    "about_it": ("What changed", "O que mudou"),
    "pushed": ("Pushed: {label}", "Enviado: {label}"),
    "no_content": (
        "No content is kept of that call, so there is nothing to ask again.",
        "Nenhum conteúdo foi guardado daquela chamada; não há o que repetir.",
    ),
    "replayed": ("From call {id}.", "Da chamada {id}."),
    "no_models": (
        "No model can be asked: add a provider's key, or “offline: {}” under “providers”.",
        "Nenhum modelo disponível: adicione a chave de um provedor, ou “offline: {}” em “providers”.",
    ),
}  # fmt: skip
_MOST_MODELS = 4


async def build(view: View) -> None:
    """Free messages; `?prompt=id@version` a prompt; `?call=` a kept call asked again; `?model=` (several) of whom."""
    page = Playground(view)
    await page.load()
    page.show()


class Playground:
    """One page's state: what is asked, of whom, and what they say."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._lines = [Line("system", ""), Line("user", "")]
        self._models: list[str] = []
        self._columns: list[Column] = []
        self._known: list[str] = []
        self._prompts: list[str] = []
        #: A version of the registry, with its text as it was pushed.
        self._prompt: tuple[str, str, str] | None = None
        self._variables: tuple[Variable, ...] = ()
        self._given: dict[str, Any] = {}
        self._fields: dict[str, Field[str]] = {}
        self._notice = ""

    async def load(self) -> None:
        """What the address asks for. Raises NotFound."""
        view = self._view
        models, prompts = await asyncio.gather(
            view.ask("GET", "/v1/models"), view.ask("GET", "/admin/prompts?limit=1000")
        )
        self._known = [one["id"] for one in models["data"]]
        self._prompts = [one["id"] for one in prompts["data"]]
        wanted = view.query.get("prompt", "")
        if view.query.get("call"):
            wanted = await self._replayed(view.query["call"]) or wanted
        if wanted:
            await self._opened(wanted)
        asked = [one for one in view.query.get("model", "").split(",") if one][:_MOST_MODELS]
        default = "" if self._prompt is not None else (self._known or [""])[0]
        self._models = asked or self._models or [default]

    async def _replayed(self, id: str) -> str:
        """A kept call's messages and model; the prompt it was asked with, where that is known."""
        found = await one_call(self._view.database, id)
        self._notice = self._view.t("replayed", id=id)
        if found.call.asked in self._known:
            self._models = [found.call.asked]
        if found.call.prompt_id and found.call.prompt_version and isinstance(found.variables, dict):
            self._given = found.variables
            return f"{found.call.prompt_id}@{found.call.prompt_version}"
        lines = lines_of(found.prompt)
        if lines:
            self._lines = lines
        else:
            self._notice = self._view.t("no_content")
        return ""

    async def _opened(self, wanted: str) -> None:
        id, _, at = wanted.partition("@")
        place = f"/admin/prompts/{quote(id, safe='')}"
        if not at:
            at = (await self._view.ask("GET", place))["versions"][0]["version"]
        shown = await self._view.ask("GET", f"{place}/versions/{quote(at, safe='')}")
        self._prompt = (id, shown["version"], shown["text"])
        try:
            self._variables = read_draft(shown["text"]).variables
        except ComportaError as error:
            # One that includes others can be asked as it is, but not changed here.
            self._notice = error.message

    # ---- the page ----

    def show(self) -> None:
        """Everything, from the state."""
        view = self._view
        with head(view.t("title"), view.t("about")):
            links(view.t("title"), [
                (view.t("free"), view.link("/playground"), self._prompt is None),
                (view.t("by_prompt"), view.link(prompt=self._prompts[0] if self._prompts else None, call=None),
                 self._prompt is not None),
            ])  # fmt: skip
        if self._notice:
            notice(self._notice, "info")
        if not self._known:
            notice(view.t("no_models"), "warn")
        with tag("datalist", id="models"):
            for name in self._known:
                tag("option", value=name)
        with tag("div.play"):
            with card(classes="play__asked"):
                self._asked()
            self._answers = tag("div.play__answers")
            self._draw_columns()

    def _asked(self) -> None:
        view = self._view
        if self._prompt is not None:
            self._prompt_form(*self._prompt)
        else:
            self._messages = tag("div.stack")
            self._draw_lines()
        with tag("div.row.play__params"):
            self._temperature = text(view.t("temperature"), kind="number")
            self._max_tokens = text(view.t("max_tokens"), kind="number")
        self._fresh = check(view.t("fresh"), True)
        with tag("div.row"):
            button(view, view.t("run"), self._run, tone="main", key="Enter")
            button(view, view.t("stop"), self._stop)
            button(view, view.t("save_version"), self._save_version)

    def _prompt_form(self, id: str, version: str, source: str) -> None:
        view = self._view
        with tag("form.row.play__choose", method="get", action="/playground"):
            with tag("label.field"):
                tag("span.field__label", view.t("prompt"))
                tag("input.input", name="prompt", value=f"{id}@{version}", list="prompts", maxlength="200")
            with tag("datalist", id="prompts"):
                for name in self._prompts:
                    tag("option", value=name)
            tag("button.button", view.t("open"), type="submit")
        for one in self._variables:
            known = self._given.get(one.name, "" if one.default is None else one.default)
            label = one.name + (" *" if one.required else "")
            hint = one.description
            self._fields[one.name] = text(label, str(known), rows=2, hint=hint)
        with tag("details.fold"):
            tag("summary", view.t("text"))
            self._text = text(view.t("text"), source, rows=16)

    def _draw_lines(self) -> None:
        self._messages.clear()
        with self._messages:
            for at, one in enumerate(self._lines):
                self._line(at, one)
            more = tag("button.button.button--small", self._view.t("add_message"), type="button")
            more.hears("click", self._add_line)

    def _line(self, at: int, one: Line) -> None:
        view = self._view
        with tag("div.play__line"):
            with tag("div.row.spread"):
                with tag("select.input.play__role", aria_label=view.t("role")) as roles:
                    for role in ("system", "user", "assistant"):
                        tag("option", view.t(role), value=role, selected=role == one.role)
                roles.hears("change", lambda value: setattr(one, "role", str(value)), "(e) => emit(e.target.value)")
                remove = tag("button.ghost", "×", type="button", aria_label=view.t("remove"))
                remove.hears("click", lambda: self._remove_line(at))
            area = tag("textarea.input.input--area", one.text, rows=6 if one.role == "user" else 3, maxlength=100_000,
                       aria_label=f"{view.t('message')} {at + 1}")  # fmt: skip
            area.hears("input", lambda value: setattr(one, "text", str(value)), "(e) => emit(e.target.value)")

    def _add_line(self) -> None:
        self._lines.append(Line("assistant" if self._lines and self._lines[-1].role == "user" else "user", ""))
        self._draw_lines()

    def _remove_line(self, at: int) -> None:
        del self._lines[at]
        self._draw_lines()

    def _draw_columns(self) -> None:
        self._answers.clear()
        self._columns = []
        with self._answers:
            for at, name in enumerate(self._models):
                self._columns.append(Column(self._view, name, self._placed(at), self._without(at), self._save_case))
            if len(self._models) < _MOST_MODELS:
                more = tag("button.button.play__more", self._view.t("add_model"), type="button")
                more.hears("click", self._add_model)

    def _placed(self, at: int) -> Callable[[str], None]:
        def put(name: str) -> None:
            self._models[at] = name

        return put

    def _without(self, at: int) -> Callable[[], None] | None:
        def remove() -> None:
            del self._models[at]
            self._draw_columns()

        return remove if len(self._models) > 1 else None

    def _add_model(self) -> None:
        others = [one for one in self._known if one not in self._models]
        self._models.append((others or self._known or [""])[0])
        self._draw_columns()

    # ---- asking ----

    def _params(self) -> JSON:
        return params_of({"temperature": self._temperature.value, "max_tokens": self._max_tokens.value})

    def _values(self) -> dict[str, str]:
        return {name: field.value for name, field in self._fields.items() if field.value != ""}

    def _body(self, model: str) -> JSON:
        user = f"console/{self._view.session.user}"
        if self._prompt is None:
            if not model:
                raise BadRequest(self._view.t("no_models"), param="model")
            return free_body(model, self._lines, self._params(), user)
        id, version, source = self._prompt
        if self._text.value.strip() != source.strip():
            return draft_body(model, self._text.value, self._values(), self._params(), user)
        return prompt_body(model, id, version, self._values(), self._params(), user)

    async def _run(self) -> None:
        await self._view.demand_admin()
        # All bodies first: a slip is told once, and nobody has been asked yet.
        bodies = [self._body(one.model) for one in self._columns]
        headers = {"cache-control": "no-cache"} if self._fresh.value else {}
        client = context.client
        for column, body in zip(self._columns, bodies, strict=True):
            column.begin(body, headers, alive=lambda: client.has_socket_connection)

    async def _stop(self) -> None:
        for column in self._columns:
            column.stop()

    # ---- keeping ----

    async def _save_case(self, column: Column) -> None:
        view = self._view
        fields: list[Any] = []

        def body() -> None:
            fields.append(text(view.t("expected"), rows=3, most=2000))
            fields.append(check(view.t("is_reference"), True))

        if column.call_id is None or not await ask(view, view.t("save_case"), body, label=view.t("save")):
            return
        case = case_text(
            variables=self._values() if self._prompt is not None else None, lines=self._lines,
            expected=fields[0].value, reference=column.heard.text if fields[1].value else None, by="playground",
        )  # fmt: skip
        await judge(view, column.call_id, CASE, case, id=f"case/{column.call_id}")
        say(view.t("case_saved"))

    async def _save_version(self) -> None:
        view, known = self._view, self._prompt
        fields: list[Field[str]] = []

        def body() -> None:
            if known is None:
                fields.append(text(view.t("prompt_id"), most=100))
            fields.append(text(view.t("version"), bumped(known[1]) if known else "1.0.0", most=64))
            fields.append(text(view.t("about_it"), most=1000))

        if not await ask(view, view.t("save_version"), body, label=view.t("save")):
            return
        version, message = fields[-2].value.strip(), fields[-1].value.strip()
        if known is None:
            id = fields[0].value.strip()
            written = as_file(id, version, self._models[0], self._lines, self._params())
        else:
            id, written = known[0], with_version(self._text.value, version)
        file = {"name": f"{id}.yaml", "text": written, "author": view.session.user, "message": message}
        done = await view.act("POST", "/admin/prompts/push", {"files": [file]})
        one = done["prompts"][0]
        if one["outcome"] == "refused":
            raise BadRequest(one["why"], param="version")
        say(view.t("pushed", label=f"{one['id']}@{one['version']}"))
        go(view.link(f"/prompts/{one['id']}", at=one["version"]))


PAGE = Page("/playground", "title", build, TEXTS, group="build", letter="l", icon="playground")
