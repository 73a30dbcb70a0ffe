"""`comporta chains`: check the chain files of a folder without a gate, and run one with a view of each step."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

from comporta.app.chains import folder_of
from comporta.app.known import Known
from comporta.chains.examine import Report, examine
from comporta.cli.gate import Gate, find
from comporta.cli.place import CONFIG, config_path, known, load
from comporta.cli.shown import AS_JSON, DATA, note, say, say_json, table, usd
from comporta.cli.written import json_pairs
from comporta.errors import ComportaError, ConfigError
from comporta.prompts.folder import Prompts
from comporta.prompts.folder import survey as survey_prompts

#: A chain's own time limit ends it before this one.
_SILENCE_S = 620.0
#: Records come about a second after a call's end.
_RECORDED_S = 5.0
_LOOK_S = 0.1
_LONGEST_SHOWN = 300

FOLDER = typer.Argument(None, help="The folder of chain files, or one file; default: that of the configuration.")
PROMPTS = typer.Option(Path("prompts"), "--prompts", help="The folder of prompt files that steps may name.")
STRICT = typer.Option(False, "--strict", help="Take warnings for mistakes.")
ID = typer.Argument(help="The chain's id.")
TEXT = typer.Argument(None, help="What the user says; what is piped in is put behind it.")
VAR = typer.Option([], "--var", help="A variable, as name=value; the value is JSON or text; several times.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("check")(_check)
    below.command("run")(_run)
    app.add_typer(below, name=name, help=summary)


# ---- check ----------------------------------------------------------------------------------------------------------


def _check(
    folder: Path | None = FOLDER,
    prompts: Path = PROMPTS,
    strict: bool = STRICT,
    config: Path | None = CONFIG,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Tell every mistake in chain files with its file and line; the exit code is 1 where there is one."""
    models, usual = _configured(config, data)
    report = examine(folder or usual, models, _prompts(prompts))
    findings = report.mistakes + (report.warnings if strict else ())
    if as_json:
        say_json(_plain(report, not findings and bool(report.chains)))
    else:
        _tell(report, folder or usual)
    if findings or not report.chains:
        raise typer.Exit(1)


def _configured(config: Path | None, data: Path) -> tuple[Known | None, Path]:
    """What the configuration knows of models, as far as it holds, and where its chains are."""
    usual = Path("chains")
    if config_path(config) is None:
        return None, usual
    try:
        loaded = load(config, data)
        usual = folder_of(loaded) or usual
        return known(loaded, data), usual
    except ConfigError:
        # `comporta config check` tells what is wrong with it; the chains' own mistakes are told below.
        return None, usual


def _prompts(folder: Path) -> Prompts | None:
    """The prompts that stand in files; None where there are none to compare with."""
    if not folder.is_dir():
        return None
    return Prompts(one.prompt for one in survey_prompts(folder, guards=True).reads)


def _tell(report: Report, folder: Path) -> None:
    for text in report.mistakes:
        say(text)
    for text in report.warnings:
        say(f"{text} (warning)")
    if not report.chains and not report.mistakes:
        note(f"{folder} holds no chain file (*.yaml).")
    elif not report.mistakes and not report.warnings:
        say(f"{len(report.chains)} chains hold." if len(report.chains) > 1 else "1 chain holds.")
    else:
        note(f"{len(report.chains)} read: {len(report.mistakes)} mistakes, {len(report.warnings)} warnings.")


def _plain(report: Report, ok: bool) -> dict[str, Any]:
    return {
        "ok": ok, "chains": [*report.chains], "mistakes": [*report.mistakes], "warnings": [*report.warnings],
    }  # fmt: skip


# ---- run ------------------------------------------------------------------------------------------------------------


def _run(
    id: str = ID,
    text: str | None = TEXT,
    var: list[str] = VAR,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Run a chain at the gate and show what became of each step."""
    gate = find(data, timeout_s=_SILENCE_S)
    body: dict[str, Any] = {
        "model": f"chain:{id.removeprefix('chain:')}",
        "messages": [{"role": "user", "content": _said(text)}],
    }
    if variables := json_pairs(var, "--var"):
        body["variables"] = variables
    try:
        reply, call = _asked(gate, body)
    except ComportaError as error:
        if error.details is not None:
            _show_steps(error.details.get("steps", []))
        raise
    steps = _steps(gate, call)
    answer = reply["choices"][0]["message"]["content"] or ""
    if as_json:
        say_json({"answer": answer, "call": call, "usage": reply.get("usage"), "steps": steps})
        return
    _show_steps(steps)
    say(answer)


def _said(text: str | None) -> str:
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    return "\n\n".join(part for part in (text, piped.strip()) if part)


def _asked(gate: Gate, body: Mapping[str, Any]) -> tuple[Any, str]:
    """The reply, and the id of its call."""
    with gate.exchange("POST", "/v1/chat/completions", body) as answer:
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return json.loads(answer.read()), headers.get("x-comporta-call", "")


def _steps(gate: Gate, call: str) -> list[dict[str, Any]]:
    """What became of the steps, as the record says; only administrators may read it."""
    detail = _recorded(gate, call)
    if detail is None:
        return []
    found = []
    for span in detail["spans"]:
        if span["name"] == "step" and span["attributes"]:
            step = {**span["attributes"], "duration_us": span["duration_us"], "code": span["error"]}
            if step.get("call") and step["status"] == "ok":
                step["output"] = _output(_recorded(gate, step["call"]))
            found.append(step)
    return found


def _recorded(gate: Gate, call: str) -> Any:
    """The record of a call once it is there; None where it can't be read."""
    deadline_s = time.monotonic() + _RECORDED_S
    while True:
        try:
            return gate.ask("GET", f"/admin/calls/{call}")
        except ComportaError as error:
            if error.status != 404 or time.monotonic() > deadline_s:
                note(f"The steps can't be shown: {error.message}")
                return None
        time.sleep(_LOOK_S)


def _output(detail: Any) -> str | None:
    """The text of an answer, or its beginning, where content is kept."""
    choices = (detail or {}).get("reply") or [{}]
    text = choices[0].get("text")
    return text if isinstance(text, str) else None


def _show_steps(steps: list[dict[str, Any]]) -> None:
    columns: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
        ("step", lambda step: step.get("step")),
        ("status", lambda step: step.get("code") or step.get("status")),
        ("model", lambda step: step.get("model")),
        ("ms", lambda step: round(step["duration_us"] / 1000) if "duration_us" in step else None),
        ("tokens", lambda step: step.get("tokens")),
        ("cost", lambda step: usd(step.get("cost_microusd"))),
        ("output", lambda step: _short(step.get("output"))),
    ]
    if steps:
        table([name for name, _ in columns], [[read(step) for _, read in columns] for step in steps], "")


def _short(output: Any) -> str | None:
    if not isinstance(output, str):
        return None
    line = " ".join(output.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"
