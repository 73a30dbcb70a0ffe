"""`comporta import`: a configuration of another gateway turned into ours."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import typer

from comporta.app.folder import Folder
from comporta.app.loaded import Places, known, load_settings
from comporta.cli.importing.litellm import imported, told
from comporta.cli.importing.source import read
from comporta.cli.importing.writing import text_of
from comporta.cli.shown import note, say
from comporta.errors import ComportaError, ConfigError

SOURCE = typer.Argument(help="LiteLLM's configuration.", metavar="CONFIG.YAML", dir_okay=False)
OUT = typer.Option(None, "--out", "-o", dir_okay=False, help="The file to write; default: standard output.")
FORCE = typer.Option(False, "--force", help="Write over a file that is there.")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
#: Stands for a variable that is not set here, while it is checked whether the result holds.
_STAND_IN = "http://localhost:1"


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.callback()(_group)
    below.command("litellm")(_litellm)
    app.add_typer(below, name=name, help=summary)


def _group() -> None:
    """Without it a single command would take the group's place."""


def _litellm(source: Path = SOURCE, out: Path | None = OUT, force: bool = FORCE) -> None:
    """Turn a configuration of LiteLLM's proxy into comporta.yaml, and tell what could not be carried over.

    Secrets that stand in the file are neither shown nor written: a variable takes their place.
    """
    if out is not None and out.exists() and not force:
        raise ComportaError(f"{out} is there already: --force writes over it.", code="not_written")
    found = imported(read(source))
    text = text_of(found, source.name)
    wrong = mistakes_in(text)
    if out is None:
        say(text.rstrip("\n"))
    else:
        _write(out, text)
        note(f"Wrote {out}: {_counted(found.sections)}.")
    for one in found.left:
        note(f"{told(one) if one.line else f'{one.path}: {one.why}'}")
    for mistake in wrong:
        note(f"To mend in the result: {mistake}")
    variables = needed(text)
    if variables:
        note(f"Variables it needs: {', '.join(variables)}.")


def mistakes_in(text: str) -> list[str]:
    """What `comporta config check` would say of the result, were its variables set."""
    environment = {name: os.environ.get(name) or _STAND_IN for name in needed(text)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "comporta.yaml"
        path.write_text(text, "utf-8")
        places = Places(path, Folder(Path(folder) / "data"))
        try:
            known(load_settings(places, {"PATH": "", **environment}), places.folder)
        except ConfigError as error:
            return [line.replace(f"{folder}/", "") for line in error.message.splitlines()]
    return []


def needed(text: str) -> list[str]:
    """The variables that the result reads, as `${NAME}` or by `env: NAME`."""
    named = re.findall(r"^ +(?:- )?env: ([A-Za-z_]\w*)$", text, re.MULTILINE)
    body = re.sub(r"\$\$\{", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return sorted({*named, *_REFERENCE.findall(body)})


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise ComportaError(f"{out} can't be written: {error.strerror}.", code="not_written") from None


def _counted(sections: dict[str, object]) -> str:
    counts = []
    for name in ("providers", "routes", "limits", "budgets"):
        section = sections.get(name)
        if isinstance(section, dict | list) and section:
            counts.append(f"{len(section)} {name if len(section) > 1 else name[:-1]}")
    return ", ".join(counts)
