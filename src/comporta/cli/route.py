"""`comporta route`: where a call goes and why, what it would cost, and which model suits a task."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from comporta.cli.gate import find
from comporta.cli.shown import AS_JSON, DATA, facts, say, say_json, table, usd
from comporta.errors import BadRequest

PROMPT = typer.Argument(None, help="The prompt; without one, what is piped in.")
CAPABILITY = typer.Option([], "--capability", help="What the model must be able to do; several times.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("explain")(_explain)
    below.command("estimate")(_estimate)
    below.command("select")(_select)
    below.command("models")(_models)
    app.add_typer(below, name=name, help=summary)


def _explain(
    prompt: str | None = PROMPT,
    call: str | None = typer.Option(None, "--call", help="A recorded call's id: what was decided then."),
    model: str = typer.Option("default", "--model", "-m", help="The route, `strategy:…` or `task:…` to ask."),
    task: str | None = typer.Option(None, "--task", help="The task that the caller would name."),
    stream: bool = typer.Option(False, "--stream", help="As a stream: its first token's time counts."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Show where a call goes, and why; no model is asked."""
    body: dict[str, Any] = {"call": call} if call else {
        "model": model, "prompt": _given(prompt), "task": task, "stream": stream,
    }  # fmt: skip
    said = find(data).ask("POST", "/admin/route/explain", {k: v for k, v in body.items() if v is not None})["decision"]
    if as_json:
        say_json(said)
        return
    names = ("route", "strategy", "task", "by", "sure", "complexity", "row", "chosen", "why", "answered", "superior")
    facts([(name, said.get(name)) for name in names])
    candidates = said.get("candidates")
    if candidates:
        say("")
        table(("model", "role", "cost", "latency ms", "in flight", "quality", "left out"), map(_row, candidates), "")
    for one in said.get("missed", ()):
        say(f"{one['model']} did not answer: {one.get('error') or one.get('not_good')}")


def _row(one: Mapping[str, Any]) -> tuple[Any, ...]:
    quality = one.get("quality")
    shown = f"{quality['mean']:.2f} of {quality['n']} {quality['score']}" if quality else None
    return (one["model"], one.get("role"), usd(one.get("cost_microusd")), one.get("latency_ms"), one.get("in_flight"),
            shown, one.get("left_out"))  # fmt: skip


def _estimate(
    prompt: str | None = PROMPT,
    model: str = typer.Option("default", "--model", "-m", help="The model that would be asked."),
    task: str | None = typer.Option(None, "--task", help="What the answer is like; default: guessed."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Estimate what a call costs, before it is asked."""
    body = {"prompt": _given(prompt), "model": model, **({"task": task} if task else {})}
    found = find(data).ask("POST", "/admin/route/estimate", body)
    if as_json:
        say_json(found)
        return
    how = "counted by the tokenizer's table" if found["exact"] else "estimated"
    facts([
        ("model", found["model"]), ("tokens in", f"{found['tokens_in']} ({how} for {found['by']})"),
        ("tokens out", f"{found['tokens_out']} (what such answers are like)"),
        ("cost", usd(found["cost_microusd"]) or "unknown: no price is known"), ("prices as of", found["as_of"]),
    ])  # fmt: skip


def _select(
    task: str | None = typer.Argument(None, help="The task; without one any."),
    complexity: str = typer.Option("medium", "--complexity", help="low, medium or high."),
    budget: float | None = typer.Option(None, "--budget", help="Dollars for one call, at most."),
    capability: list[str] = CAPABILITY,
    strategy: str | None = typer.Option(None, "--strategy", help="By this strategy's rows."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Choose a model for a task: by a strategy, else by prices and capabilities."""
    body = {"task": task, "complexity": complexity, "budget": budget, "required": capability, "strategy": strategy}
    found = find(data).ask("POST", "/admin/route/select", {k: v for k, v in body.items() if v not in (None, [])})
    if as_json:
        say_json(found)
        return
    size = f"{found['tokens_in']} tokens in and {found['tokens_out']} out"
    say(f"{found['model']}: {found['why']}; about {usd(found['cost_microusd']) or 'an unknown price'} for {size}")
    say("")
    rows = ((o["model"], usd(o["cost_microusd"]), o["context"], o["left_out"]) for o in found["offers"])
    table(("model", "cost", "context", "left out"), rows, "")


def _models(data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """List the models that routes lead to, with prices and live figures."""
    found = find(data).ask("GET", "/admin/route/models")["data"]
    if as_json:
        say_json(found)
        return
    columns = ("model", "context", "input $/M", "output $/M", "first ms", "total ms", "in flight", "answers", "rests")
    rows = (
        (one["model"], one["context"], usd(one["price_input_microusd"]), usd(one["price_output_microusd"]),
         _ms(one["first_token_ms"]), _ms(one["total_ms"]), one["in_flight"], one["answers"], one["rests"])
        for one in found
    )  # fmt: skip
    table(columns, rows, "No route leads to a model.")


def _ms(value: float | None) -> int | None:
    return None if value is None else round(value)


def _given(prompt: str | None) -> str:
    text = sys.stdin.read() if prompt is None else prompt
    if not text.strip():
        raise BadRequest("Give a prompt, or pipe one in.")
    return text
