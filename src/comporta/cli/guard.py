"""`comporta guard`: try guards on a text, list what there is, and measure them on labelled examples."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text as Shown

from comporta.app.folder import Folder
from comporta.app.guarding import Guarding, tools_at_hand
from comporta.cli.gate import find
from comporta.cli.guard_check import check
from comporta.cli.guards_at_hand import GUARD, POLICY, at_hand, entry, policy_of
from comporta.cli.place import CONFIG
from comporta.cli.shown import AS_JSON, DATA, say, say_json, table
from comporta.gateway.guards import wanted_of
from comporta.guardrails.base import Kind
from comporta.guardrails.trying import tried
from comporta.guardrails.watermark import FALSE_ALARMS, detect
from comporta.pipeline import Call
from comporta.types import Caller

TEXT = typer.Argument(None, help="The text; without one, what is piped in.")
SIDE = typer.Option("input", "--side", help="input or output.")
PLACE = typer.Option(None, "--place", help="Where it stands: user, system, tool, passage, assistant, name or alt.")
CONTEXT = typer.Option([], "--context", help="A passage that an answer should rest on; several times.")
QUESTION = typer.Option(None, "--question", help="What was asked, where the text is an answer.")
SYSTEM = typer.Option(None, "--system", help="The system's instructions.")
_COLOURS = {"block": "bold white on red", "redact": "black on yellow", "rewrite": "black on cyan", "flag": "underline"}


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("test")(_test)
    below.command("list")(_list)
    below.command("check")(check)
    below.command("detect")(_detect)
    app.add_typer(below, name=name, help=summary)


def _test(
    text: str | None = TEXT,
    guard: list[str] = GUARD,
    policy: str | None = POLICY,
    side: str = SIDE,
    place: str | None = PLACE,
    context: list[str] = CONTEXT,
    question: str | None = QUESTION,
    system: str | None = SYSTEM,
    config: Path | None = CONFIG,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Show a text to guards, and what they say of it; the exit code is 1 where they would block it.

    Without --guard and --policy: the configuration's own policy, else the usual guards. With COMPORTA_URL the gate
    there is asked.
    """
    text = sys.stdin.read() if text is None else text
    given = {
        "input": text, "side": side, "policy": policy, "guards": [entry(one) for one in guard] or None,
        "place": place, "context": context or None, "question": question, "system": system,
    }  # fmt: skip
    body = {name: one for name, one in given.items() if one is not None}
    if os.environ.get("COMPORTA_URL", "").strip():
        said = find(data).ask("POST", "/v1/guard", body)
    else:
        said = asyncio.run(_here(body, config, data))
    if as_json:
        say_json(said)
    else:
        _tell(text, said)
    if not said["approved"]:
        raise typer.Exit(1)


async def _here(body: dict[str, Any], config: Path | None, data: Path) -> Any:
    guarding = at_hand(config, data)
    wanted = wanted_of(body, Caller("cli"))
    call = Call(kind="guard", input=wanted.input, model="guard", caller=Caller("cli"))
    done = await tried(
        guarding.runner, policy_of(guarding, body.get("policy"), body.get("guards") or (), wanted.request.side),
        wanted.request.side, wanted.showing, call, guarding.style,
    )  # fmt: skip
    return msgspec.to_builtins(done.checked)


def _tell(text: str, said: Any) -> None:
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 10_000)
    shown = Shown(text)
    for one in said["verdicts"]:
        for span in one["spans"]:
            shown.stylize(_COLOURS.get(one["outcome"], "underline"), span["start"], span["end"])
    console.print(shown)
    say("")
    rows = (
        (one["guard"], one["outcome"], one["severity"], f"{one['confidence']:.2f} of {one['threshold']:.2f}",
         ", ".join(f"{s['kind']} {s['start']}-{s['end']}" for s in one["spans"][:8]), f"{one['latency_ms']:.2f}",
         one["reason"])
        for one in said["verdicts"]
    )  # fmt: skip
    table(("guard", "outcome", "severity", "confidence", "where", "ms", "why"), rows, "No guard was asked.")
    say("")
    say(_came_to(said))


def _came_to(said: Any) -> str:
    if not said["approved"]:
        return f"Blocked by {said['blocked_by']}: {said['reason']}. {said['suggested_action']}"
    changed = said["sanitized_prompt"] if said["side"] == "input" else said["output"]
    return f"Approved ({said['latency_ms']:.2f} ms). It would go on as:\n{changed}"


def _detect(
    text: str | None = TEXT,
    key: str = typer.Option(..., "--key", envvar="COMPORTA_WATERMARK_KEY", help="The key of the policy's `watermark`."),
    as_json: bool = AS_JSON,
) -> None:
    """Tell whether a text bears the watermark of a key; the exit code is 1 where that can't be said.

    Of texts that were not marked with the key at most one in a million is said to be. A marked text must have some
    sixty words, and must not have been typed anew or had its invisible characters taken out.
    """
    found = detect(sys.stdin.read() if text is None else text, key)
    if as_json:
        say_json(msgspec.to_builtins(found) | {"false_alarms": FALSE_ALARMS})
    else:
        how = f"{found.in_place} of {found.signs} signs in their places; chance without this key: {found.chance:.1e}"
        say(f"{'Marked' if found.marked else 'Not known to be marked'} ({how}).")
    if not found.marked:
        raise typer.Exit(1)


def _list(data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """List the kinds of guards there are."""
    kinds = Guarding(tools_at_hand(Folder(data).cache), lambda call, side, report: None).kinds.all
    if as_json:
        say_json([_plain(kind) for kind in kinds])
        return
    columns = ("name", "sides", "action", "threshold", "also", "about")
    table(columns, ([_plain(kind)[name] for name in columns] for kind in kinds), "There are no guards.")


def _plain(kind: Kind) -> dict[str, Any]:
    return {
        "name": kind.name, "sides": list(kind.sides), "action": kind.action, "threshold": kind.threshold,
        "also": list(kind.aliases), "about": kind.about, "places": list(kind.places), "needs": kind.needs,
        "settings": [field.encode_name for field in msgspec.structs.fields(kind.settings)],
    }  # fmt: skip
