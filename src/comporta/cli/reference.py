"""Writes the reference page of the command line from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import typer.main

from comporta.cli.main import program

_INTRODUCTION = """\
# Command line

<!-- Generated from the code. Change a command's source, then generate this page again. -->

`comporta` talks to the gate that `COMPORTA_URL` names, with the key in `COMPORTA_KEY`; without them to the one that
runs on the data folder (`COMPORTA_DATA`, default `.comporta`), whose admin key lies there. `serve`, `config` and
`doctor` need no running gate.

What programs may want to read goes to standard output, everything else to standard error; `--json` gives whole
objects. Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 130 interrupted.
"""
#: Options of typer itself, the same everywhere.
_EVERYWHERE = ("--help", "--install-completion", "--show-completion")


def render() -> str:
    """The whole page as Markdown."""
    root: Any = typer.main.get_command(program())
    return "\n".join([_INTRODUCTION, *_below("comporta", root)]).rstrip() + "\n"


def _below(path: str, group: Any) -> Iterator[str]:
    for name, command in group.commands.items():
        yield from _command(f"{path} {name}", command)


def _command(path: str, command: Any) -> Iterator[str]:
    commands = getattr(command, "commands", None)
    yield f"{'##' if path.count(' ') == 1 else '###'} `{path}`\n"
    yield f"{_line(command.help)}\n"
    if commands is not None:
        yield from _below(path, command)
        return
    shown = [one for one in command.params if not set(one.opts) & set(_EVERYWHERE)]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    options = [one for one in shown if one.param_type_name == "option"]
    yield f"```\n{_usage(path, arguments, bool(options))}\n```\n"
    yield from _table("Argument", [(f"`{_label(one)}`", one) for one in arguments])
    yield from _table("Option", [(_flags(one), one) for one in options])


def _usage(path: str, arguments: list[Any], options: bool) -> str:
    words = [_label(one) if one.required else f"[{_label(one)}]" for one in arguments]
    return " ".join([path, *(["[OPTIONS]"] if options else []), *words])


def _table(first: str, rows: list[tuple[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield f"| {first} | Meaning | Default |\n|---|---|---|"
    for label, one in rows:
        yield f"| {label} | {_meaning(one)} | {_default(one)} |"
    yield ""


def _label(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _flags(option: Any) -> str:
    names = [f"`{name}`" for name in (*option.opts, *option.secondary_opts)]
    return ", ".join(names) + ("" if option.is_flag else f" *{_type(option.type_descriptor.annotation)}*")


def _type(annotation: Any) -> str:
    inner = next(iter(get_args(annotation)), annotation)
    return {str: "text", Path: "path", int: "number", float: "number"}[inner]


def _meaning(one: Any) -> str:
    variable = f" Variable: `{one.envvar}`." if one.envvar else ""
    return f"{_line(one.help)}{variable}".replace("|", "\\|")


def _default(one: Any) -> str:
    """What holds where it is left out; a flag that is off and a list that is empty need no word."""
    if one.required:
        return "required"
    value = one.default
    if callable(value) or value in (None, False, "", [], ()):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
