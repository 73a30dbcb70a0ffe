"""`comporta models`: what can be asked for, and models registered while the gate runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from comporta.cli.gate import find, part
from comporta.cli.shown import AS_JSON, DATA, facts, say, say_json, table, usd
from comporta.cli.written import json_pairs, money_microusd

WHICH = typer.Argument(help="The model's name.", metavar="MODEL")
PROVIDER = typer.Option(None, "--provider", help="Only models of this provider.")
SOURCE = typer.Option(None, "--source", help="Only those of the file, the api, the environment or the catalogue.")
PARAM = typer.Option([], "--param", help="A default that a call may override, as name=value; several times.")
CAPABILITY = typer.Option([], "--capability", help="What it can do: tools, vision …; several times.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("list")(_list)
    below.command("show")(_show)
    below.command("add")(_add)
    below.command("remove")(_remove)
    app.add_typer(below, name=name, help=summary)


def _list(
    provider: str | None = PROVIDER, source: str | None = SOURCE, data: Path = DATA, as_json: bool = AS_JSON
) -> None:
    """List models with their prices in dollars per million tokens."""
    found = find(data).ask("GET", "/admin/models", query={"provider": provider, "source": source})["data"]
    if as_json:
        say_json(found)
        return
    columns = ("name", "provider", "model", "context", "input $/M", "output $/M", "capabilities", "source")
    rows = (
        (one["name"], one["provider"], one["model"], one["context"], _price(one, "input"), _price(one, "output"),
         one["capabilities"], one["source"])
        for one in found
    )  # fmt: skip
    table(columns, rows, "There are no such models.")


def _show(model: str = WHICH, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Show what is known of one model."""
    row = find(data).ask("GET", f"/admin/models/{part(model)}")
    if as_json:
        say_json(row)
        return
    prices = {name: usd(value) for name, value in (row["price"] or {}).items() if value is not None}
    stands = f"{row['file']} line {row['line']}" if row["file"] else row["source"]
    facts(
        [("name", row["name"]), ("provider", row["provider"]), ("model", row["model"]), ("context", row["context"]),
         ("max output", row["max_output"]), ("capabilities", row["capabilities"]), ("params", row["params"]),
         ("price per million tokens", prices or "unknown"), ("said in", stands)]
    )  # fmt: skip


def _add(
    name: str = typer.Argument(help="What applications ask for."),
    target: str = typer.Argument(help="The provider and its own name of the model: provider/model."),
    input_price: str | None = typer.Option(None, help="Dollars per million tokens of input."),
    output_price: str | None = typer.Option(None, help="Dollars per million tokens of output."),
    context: int | None = typer.Option(None, min=1, help="Tokens that fit in."),
    max_output: int | None = typer.Option(None, min=1, help="Tokens it can write."),
    capability: list[str] = CAPABILITY,
    param: list[str] = PARAM,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Register a model under a name, or change the one registered there; no restart is needed."""
    provider, slash, own_name = target.partition("/")
    if not slash or not provider or not own_name:
        raise typer.BadParameter(f"{target!r} is not provider/model", param_hint="TARGET")
    body = {
        "provider": provider, "model": own_name, "context": context, "max_output": max_output,
        "capabilities": capability, "params": json_pairs(param, "--param"),
        "price": _given_price(input_price, output_price),
    }  # fmt: skip
    row = find(data).ask("PUT", f"/admin/models/{part(name)}", body)
    if as_json:
        say_json(row)
    else:
        say(f"{row['name']} now means {row['provider']}/{row['model']}.")


def _remove(model: str = WHICH, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Remove a registered model."""
    answer = find(data).ask("DELETE", f"/admin/models/{part(model)}")
    if as_json:
        say_json(answer)
    else:
        say(f"The model {model} is removed.")


def _given_price(input_price: str | None, output_price: str | None) -> dict[str, int | None] | None:
    if input_price is None and output_price is None:
        return None
    return {
        "input": money_microusd(input_price, "--input-price"),
        "output": money_microusd(output_price, "--output-price"),
    }


def _price(row: Any, bucket: str) -> str | None:
    return usd(row["price"][bucket]) if row["price"] else None
