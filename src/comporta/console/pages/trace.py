"""One trace: its spans over time, the conversation, and everything that is known of the chosen call."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from msgspec import structs

from comporta.console.bars import Placed, placed
from comporta.console.messages import conversation
from comporta.console.page import Page
from comporta.console.pages.calls import tone_of
from comporta.console.parts.chat import chat
from comporta.console.parts.components import Waterfall, When
from comporta.console.parts.pieces import badge, card, code, facts, head, notice
from comporta.console.parts.scores import score_list
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.errors import NotFound
from comporta.providers.catalogue import cost_microusd
from comporta.telemetry.calls import CallRow, OneCall, one_call
from comporta.telemetry.record import BUCKETS
from comporta.telemetry.score_reads import ScoreRow, scores_of_trace
from comporta.telemetry.traces import Trace, read_trace
from comporta.types import Usage

TEXTS: Texts = {
    "title": ("Trace", "Rastro"),
    "none": (
        "There is no trace {id}: it was never made, is not shipped yet, or is past retention.",
        "Não há rastro {id}: nunca foi feito, ainda não foi gravado ou passou da retenção.",
    ),
    "calls": ("calls", "chamadas"),
    "one_call": ("1 call", "1 chamada"),
    "spans": ("spans", "spans"),
    "waterfall": ("What took how long", "O que demorou quanto"),
    "conversation": ("Conversation", "Conversa"),
    "no_content": (
        "No content is kept of this call ({capture}).",
        "Nenhum conteúdo foi guardado desta chamada ({capture}).",
    ),
    "cut": ("This trace is longer than what is shown.", "Este rastro é mais longo do que o que se mostra."),
    "replay": ("Replay in the playground", "Repetir no playground"),
    "call": ("Call", "Chamada"),
    "cost": ("Cost and tokens", "Custo e tokens"),
    "unknown_cost": ("cost unknown: no price", "custo desconhecido: sem preço"),
    "estimated": ("estimated", "estimado"),
    "no_usage": ("No usage.", "Sem uso."),
    "verdicts": ("Guards", "Guardas"),
    "scores": ("Scores", "Notas"),
    "no_scores": ("Nothing was judged.", "Nada foi avaliado."),
    "decided": ("What stages decided", "O que os estágios decidiram"),
    "variables": ("Variables", "Variáveis"),
    "attempts": ("Attempts", "Tentativas"),
    "cache": ("Cache", "Cache"),
    "model": ("Model", "Modelo"),
    "route": ("Route", "Rota"),
    "variant": ("Variant", "Variante"),
    "prompt": ("Prompt", "Prompt"),
    "key": ("Key", "Chave"),
    "user": ("User", "Usuário"),
    "session": ("Session", "Sessão"),
    "team": ("Team", "Equipe"),
    "tags": ("Tags", "Etiquetas"),
    "first": ("First content", "Primeiro conteúdo"),
    "took": ("Took", "Duração"),
    "retries": ("Retries", "Repetições"),
    "dropped": ("Dropped parameters", "Parâmetros descartados"),
    "failure": ("Failure", "Falha"),
    "id": ("Call id", "Id da chamada"),
    "request": ("Request id", "Id do pedido"),
    "deploy": ("Deploy", "Deploy"),
    "chosen": ("Chosen span", "Span escolhido"),
    "input": ("input", "entrada"),
    "cached": ("cached input", "entrada em cache"),
    "cache_write": ("written to cache", "gravado no cache"),
    "audio_in": ("audio in", "áudio de entrada"),
    "image_in": ("images in", "imagens de entrada"),
    "output": ("output", "saída"),
    "reasoning": ("reasoning", "raciocínio"),
    "audio_out": ("audio out", "áudio de saída"),
}  # fmt: skip
_TONES = ("accent", "sky", "violet", "amber", "olive", "info", "warn", "bad")
_FALL_PX = 420
#: A record is shipped within a second or two; a page that is longer in coming says that there is none.
_AWAITED_S, _AGAIN_S = 8.0, 0.25


async def build(view: View) -> None:
    """The trace of the address; `?call=` chooses one of its calls, else the first one is."""
    trace, scores = await _read(view)
    if not trace.calls and not trace.others:
        raise NotFound(view.t("none", id=view.path["trace"][:64]))
    chosen = next((one for one in trace.calls if one.id == view.query.get("call")), None)
    chosen = chosen or (trace.calls[0] if trace.calls else None)
    _head(view, trace, chosen)
    if trace.cut:
        notice(view.t("cut"), "warn")
    _fall(view, trace, chosen)
    if chosen is not None:
        found = await one_call(view.database, chosen.id, spans=trace.whole_spans(chosen.id))
        await _call(view, found, scores)


async def _read(view: View) -> tuple[Trace, list[ScoreRow]]:
    """Of a call that just ended (`?new=1`) the record is still on its way: that is waited for."""
    until_s = time.monotonic() + (_AWAITED_S if view.query.get("new") else 0.0)
    while True:
        trace, scores = await asyncio.gather(
            read_trace(view.database, view.path["trace"]), scores_of_trace(view.database, view.path["trace"])
        )
        if trace.calls or trace.others or time.monotonic() > until_s:
            return trace, scores
        await asyncio.sleep(_AGAIN_S)


def _head(view: View, trace: Trace, chosen: CallRow | None) -> None:
    n_spans = sum(len(spans) for spans in trace.spans.values()) + len(trace.others)
    known = [call.cost_microusd for call in trace.calls if call.cost_microusd is not None]
    calls = view.t("one_call") if len(trace.calls) == 1 else f"{len(trace.calls)} {view.t('calls')}"
    sub = f"{trace.id} · {calls} · {n_spans} {view.t('spans')}"
    with head(view.t("title"), sub):
        if known:
            tag("span.figure__value", view.t.money(sum(known)))
        if chosen is not None and chosen.kind == "chat" and not view.bound:
            tag("a.button.button--main", view.t("replay"), href=view.link("/playground", call=chosen.id), data_key="p")


def _fall(view: View, trace: Trace, chosen: CallRow | None) -> None:
    bars = placed(trace)
    at = next(
        (i for i, one in enumerate(bars) if chosen and one.call and one.span is None and one.call.id == chosen.id), -1
    )
    with card(view.t("waterfall"), classes="flush"):

        def choose(number: int) -> None:
            if 0 <= number < len(bars):
                _show(view, bars[number], chosen, detail)

        Waterfall(view.t("waterfall"), [one.bar for one in bars], chosen=at, height_px=_FALL_PX, on_span=choose)
        detail = tag("div.span-detail", aria_live="polite")


def _show(view: View, one: Placed, chosen: CallRow | None, detail: Any) -> None:
    """A call's own page part, or the attributes of a span."""
    if one.span is None and one.call is not None and (chosen is None or one.call.id != chosen.id):
        view_link = view.link(call=one.call.id)
        detail.client.open(view_link)
        return
    source = one.span or one.other
    attributes = source.attributes if source is not None else None
    detail.clear()
    with detail, tag("div.span-detail__inside"):
        with tag("div.chips"):
            tag("strong", one.bar.name)
            badge(view.t.seconds(one.bar.duration_us / 1e6), "dim")
            if source is not None and source.error:
                badge(source.error, "bad")
        if attributes:
            code(json.dumps(attributes, indent=2, ensure_ascii=False), label=view.t("chosen"))


async def _call(view: View, found: OneCall, scores: Sequence[ScoreRow]) -> None:
    call = found.call
    mine = [one for one in scores if one.call_id in (call.id, None)]
    with tag("div.halves"):
        with card(view.t("conversation")):
            said = conversation(found.prompt, found.reply)
            if call.error_message:
                notice(call.error_message, "bad", title=call.outcome)
            if said:
                chat(view, said)
            else:
                tag("p.muted", view.t("no_content", capture=call.capture))
        with tag("div.rail"):
            _facts(view, call)
            _cost(view, call)
            _verdicts(view, mine)
            _attempts(view, found)
            _extra(view, found)


def _facts(view: View, call: CallRow) -> None:
    t = view.t

    def link(text: str | None, place: str, **query: str) -> Any:
        return (lambda: tag("a", text, href=view.link(place, **query))) if text else None

    prompt = f"{call.prompt_id}@{call.prompt_version}" if call.prompt_id else None
    pairs: list[tuple[str, Any]] = [
        (t("model"), f"{call.model or '–'} · {call.provider or '–'}"),
        (t("route"), link(call.route, "/calls", route=call.route or "")),
        (t("variant"), call.variant),
        (t("prompt"), prompt if view.bound else link(prompt, "/prompts/" + (call.prompt_id or ""))),
        (t("took"), t.seconds(call.duration_us / 1e6)),
        (t("first"), None if call.first_us is None else t.seconds(call.first_us / 1e6)),
        (t("cache"), None if call.cache == "bypass" else call.cache), (t("retries"), call.retries or None),
        (t("key"), link(call.key_name, "/calls", key=call.key_id)), (t("team"), call.team),
        (t("user"), link(call.user, "/calls", user=call.user or "")),
        (t("session"), link(call.session, "/session", id=call.session or "")),
        (t("tags"), ", ".join(f"{k}={v}" for k, v in call.tags.items())),
        (t("deploy"), ", ".join(f"{k}={v}" for k, v in (call.deploy or {}).items())),
        (t("dropped"), ", ".join(call.dropped)), (t("id"), call.id), (t("request"), call.request_id),
    ]  # fmt: skip
    with card():
        with tag("div.card__head"):
            with tag("div.chips"):
                badge("ok" if call.outcome_class == "ok" else f"{call.outcome} · {call.status}", tone_of(call))
                badge(call.door, "dim")
            When(call.started_at.timestamp(), "full")
        facts([(name, value) for name, value in pairs if value])


def _cost(view: View, call: CallRow) -> None:
    cost = view.t("unknown_cost") if call.cost_microusd is None and call.usage else view.t.money(call.cost_microusd)
    with card(view.t("cost"), sub=cost):
        if call.usage is None:
            tag("p.muted", view.t("no_usage"))
            return
        tokens = {bucket: getattr(call.usage, bucket) for bucket in BUCKETS if getattr(call.usage, bucket)}
        money = parts_of(view, call, tokens)
        weights: dict[str, int] = money or tokens
        total = sum(weights.values()) or 1
        with tag("div.buckets", aria_hidden="true"):
            for bucket, weight in weights.items():
                made = tag(f"span.buckets__one.tone-{_TONES[BUCKETS.index(bucket)]}")
                made.style["width"] = f"{weight / total * 100:.2f}%"
        with tag("div.legend"):
            for bucket, count in tokens.items():
                tag(f"span.legend__mark.tone-{_TONES[BUCKETS.index(bucket)]}")
                tag("span", view.t(bucket))
                text = view.t.number(count)
                tag("span", f"{text} · {view.t.money(money[bucket])}" if money else text)
        if call.usage.estimated:
            badge(view.t("estimated"), "warn")


def parts_of(view: View, call: CallRow, tokens: dict[str, int]) -> dict[str, int] | None:
    """Micro-dollars by bucket; None where today's price is unknown or does not come to what the call did cost."""
    facts_of = view.around.catalogue.find(call.provider or "", call.model or "")
    price = facts_of.price_for(call.usage) if facts_of is not None and call.usage is not None else None
    if price is None or not call.cost_microusd:
        return None
    nothing = Usage()
    parts = {bucket: cost_microusd(structs.replace(nothing, **{bucket: n}), price) for bucket, n in tokens.items()}
    known = {bucket: part for bucket, part in parts.items() if part is not None}
    # Each part is rounded up by itself.
    fits = abs(sum(known.values()) - call.cost_microusd) <= len(known) + call.cost_microusd * 0.001
    return known if fits and len(known) == len(tokens) else None


def _verdicts(view: View, scores: Sequence[ScoreRow]) -> None:
    guards = [one for one in scores if one.source == "guard"]
    others = [one for one in scores if one.source != "guard"]
    if guards:
        with card(view.t("verdicts")):
            score_list(view, guards)
    with card(view.t("scores")):
        if others:
            score_list(view, others)
        else:
            tag("p.muted", view.t("no_scores"))


def _attempts(view: View, found: OneCall) -> None:
    """Each request that went to a provider."""
    requests = [span for span in found.spans if span.name.split(" ")[0] == "request"]
    if not requests:
        return
    with card(view.t("attempts")), tag("ol.events"):
        for span in requests:
            with tag("li.events__one"):
                badge(span.error or "ok", "bad" if span.error else "good")
                about = span.attributes or {}
                names = [str(about[key]) for key in ("provider", "model", "credential") if about.get(key)]
                tag("span.events__text", " · ".join(names) or (found.call.provider or ""))
                tag("span.when", view.t.seconds(span.duration_us / 1e6))


def _extra(view: View, found: OneCall) -> None:
    for title, value in ((view.t("decided"), found.call.notes), (view.t("variables"), found.variables)):
        if value:
            with card(title):
                code(json.dumps(value, indent=2, ensure_ascii=False), label=title)


PAGE = Page("/traces/{trace}", "title", build, TEXTS, icon="calls", parent="/calls", teams=True)
