"""The command `comporta`: finds the command's own module, and tells failures in one line.

Only the module of the command that was typed is imported; of the others the name and the sentence here are enough for
`comporta --help`, which therefore answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import NamedTuple

import typer

from comporta.errors import ComportaError, ConfigError


class Entry(NamedTuple):
    """Where a command is, and what it is for. Its module has `add(app, name, summary)`."""

    module: str
    summary: str


COMMANDS: Mapping[str, Entry] = {
    "serve": Entry("comporta.cli.serve", "Start everything: database, gate and job worker."),
    "call": Entry("comporta.cli.call", "Ask a model from the terminal."),
    "batch": Entry("comporta.cli.batch", "Ask a file of requests, under a ceiling, going on where it was stopped."),
    "init": Entry("comporta.cli.init", "Write what a project starts from: prompts, tests, a chain, a workflow for CI."),
    "demo": Entry("comporta.cli.demo", "Fill the gate with a believable week of traffic, and take it away again."),
    "doctor": Entry("comporta.cli.doctor", "Check everything the gate needs, and say how to mend it."),
    "config": Entry("comporta.cli.configuration", "Check and show the configuration."),
    "key": Entry("comporta.cli.keys", "Make, list, change, rotate and revoke virtual keys."),
    "budget": Entry("comporta.cli.budgets", "Make, list, show and delete budgets."),
    "costs": Entry("comporta.cli.costs", "Show what was spent, by whom and on what."),
    "simulate": Entry("comporta.cli.simulate", "Show what a cache, other models … would have saved on recorded calls."),
    "models": Entry("comporta.cli.models", "List, register and remove models."),
    "route": Entry("comporta.cli.route", "Say where a call goes and why, what it costs, which model suits a task."),
    "prompts": Entry("comporta.cli.prompts", "Check, push, deploy and roll back prompts."),
    "chains": Entry("comporta.cli.chains", "Check chain files, and run a chain with a view of each step."),
    "guard": Entry("comporta.cli.guard", "Try guards on a text, list them, and measure them on your own examples."),
    "cache": Entry("comporta.cli.cache", "Measure the semantic cache on your own questions."),
    "feedback": Entry("comporta.cli.feedback", "Judge answers, and look at what was judged."),
    "reviews": Entry("comporta.cli.reviews", "Look at what waits for a person, and decide it."),
    "findings": Entry("comporta.cli.findings", "Look at what changed by itself: inputs, answers, scores, complaints."),
    "notify": Entry("comporta.cli.notify", "Show and test the channels that people are told by."),
    "metrics": Entry("comporta.cli.metrics", "Show figures over a window, by route, model, user …, and their targets."),
    "alerts": Entry("comporta.cli.alerts", "Show alert rules and what happened; test and silence them."),
    "rollout": Entry("comporta.cli.rollout", "Roll out a prompt, a model or parameters in steps; back by itself."),
    "experiment": Entry("comporta.cli.experiment", "Compare two sides on a route, with a verdict."),
    "user": Entry("comporta.cli.users", "Export and erase all that is held of one user."),
    "console": Entry("comporta.cli.console", "List, add and remove who may sign in to the console."),
    "backup": Entry("comporta.cli.backup", "Write the database into one file, also while the gate runs."),
    "restore": Entry("comporta.cli.backup", "Put a backup in the database's place, wholly or not at all."),
    "upgrade": Entry("comporta.cli.backup", "Bring the database to this version: PostgreSQL's files, then our tables."),
    "import": Entry("comporta.cli.importing.command", "Turn another gateway's configuration into ours."),
    "version": Entry("comporta.cli.main", "Show the version."),
}

_ABOUT = "The open gate and workshop for LLM applications: one endpoint, every model, a record of each call."


def program(only: str | None = None) -> typer.Typer:
    """The whole program; with `only` the other commands are known by name and sentence alone."""
    # Rich panels would double the time that `comporta --help` takes.
    app = typer.Typer(name="comporta", help=_ABOUT, no_args_is_help=True, rich_markup_mode=None,
                      pretty_exceptions_enable=False)  # fmt: skip
    app.callback()(_root)
    for name, entry in COMMANDS.items():
        if name == "version":
            app.command(name, help=entry.summary)(_version)
        elif only in (None, name):
            import_module(entry.module).add(app, name, entry.summary)
        else:
            app.command(name, help=entry.summary)(_elsewhere)
    return app


def main() -> None:
    """The entry point. Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 130 interrupted."""
    try:
        program(_asked(sys.argv[1:]))(prog_name="comporta")
    except ComportaError as error:
        _complain(error.message)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except BrokenPipeError:
        # Whoever reads our output has seen enough; without this the interpreter complains at its own end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("COMPORTA_DEBUG"):
            traceback.print_exc()
        _complain(f"{type(error).__name__}: {error} (COMPORTA_DEBUG=1 shows where)")
        sys.exit(1)


def _asked(arguments: list[str]) -> str | None:
    """The command that was typed, or a word that is none; None where a shell asks for completions of anything."""
    if "_COMPORTA_COMPLETE" in os.environ:
        return None
    return next((word for word in arguments if not word.startswith("-")), "")


def _complain(text: str) -> None:
    for line in text.splitlines() or [""]:
        sys.stderr.write(f"comporta: {line}\n")


def _told_version(wanted: bool) -> None:
    if wanted:
        _version()
        raise typer.Exit


def _root(
    show_version: bool = typer.Option(
        False, "--version", callback=_told_version, is_eager=True, help="Show the version and end."
    ),
) -> None:
    """Options of the program itself."""


def _version() -> None:
    sys.stdout.write(f"comporta {version('comporta')}\n")


def _elsewhere() -> None:
    raise AssertionError("main imports the module of the command that was typed")


if __name__ == "__main__":
    main()
