"""`comporta key`: virtual keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer

from comporta.cli.gate import Gate, find
from comporta.cli.shown import AS_JSON, DATA, day, note, say, say_json, table
from comporta.cli.written import duration_s, pairs
from comporta.errors import ComportaError

WHICH = typer.Argument(help="The key's name or id.", metavar="KEY")
ALLOW = typer.Option([], "--allow", help="A route or model name it may use; several times. Default: all.")
TAG = typer.Option([], "--tag", help="A word of your own on each of its calls, as name=value; several times.")
TAG_ANEW = typer.Option([], "--tag", help="In place of all its tags: name=value; several times.")
ALLOW_ANEW = typer.Option([], "--allow", help="In place of all it may use: a route or model name; several times.")
CLEAR = typer.Option(
    [],
    "--clear",
    help="Take something away: team, environment, feature, tags, allow, expires, guardrails or a limit; several times.",
)
_CLEARABLE = ("team", "environment", "feature", "tags", "allow", "expires_at", "requests_per_minute",
              "tokens_per_minute", "concurrent", "guardrails")  # fmt: skip
EXPIRES = typer.Option(None, "--expires", help="When it ends, from now: 12h, 30d …")
REQUESTS = typer.Option(None, "--requests-per-minute", min=1, help="Default: as the configuration says.")
TOKENS = typer.Option(None, "--tokens-per-minute", min=1, help="Default: as the configuration says.")
CONCURRENT = typer.Option(None, "--concurrent", min=1, help="Calls at the same time. Default: as configured.")
GUARDRAILS = typer.Option(None, "--guardrails", help="The guard policy of the configuration that all its calls meet.")
REVOKED = typer.Option(False, "--revoked", help="List revoked ones too.")
OVERLAP = typer.Option("0s", "--overlap", help="How long the old secret stays good: 1h, 7d …")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("create")(_create)
    below.command("list")(_list)
    below.command("update")(_update)
    below.command("revoke")(_revoke)
    below.command("rotate")(_rotate)
    app.add_typer(below, name=name, help=summary)


def _create(
    name: str = typer.Argument(help="Says who asks, for example the application."),
    team: str | None = typer.Option(None, help="Who pays."),
    environment: str | None = typer.Option(None, help="For example prod."),
    feature: str | None = typer.Option(None, help="Which part of the application."),
    tag: list[str] = TAG,
    allow: list[str] = ALLOW,
    admin: bool = typer.Option(False, "--admin", help="Let it use the admin API."),
    expires: str | None = EXPIRES,
    requests_per_minute: int | None = REQUESTS,
    tokens_per_minute: int | None = TOKENS,
    concurrent: int | None = CONCURRENT,
    guardrails: str | None = GUARDRAILS,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Make a key and print its secret, which is shown this once."""
    body = {
        "name": name, "team": team, "environment": environment, "feature": feature, "tags": pairs(tag, "--tag"),
        "allow": allow, "admin": admin, "expires_in_s": duration_s(expires, "--expires"),
        "requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute, "concurrent": concurrent,
        "guardrails": guardrails,
    }  # fmt: skip
    _say_secret(find(data).ask("POST", "/admin/keys", body), as_json)


def _update(
    key: str = WHICH,
    name: str | None = typer.Option(None, help="Another name."),
    team: str | None = typer.Option(None, help="Who pays."),
    environment: str | None = typer.Option(None, help="For example prod."),
    feature: str | None = typer.Option(None, help="Which part of the application."),
    tag: list[str] = TAG_ANEW,
    allow: list[str] = ALLOW_ANEW,
    expires: str | None = EXPIRES,
    requests_per_minute: int | None = REQUESTS,
    tokens_per_minute: int | None = TOKENS,
    concurrent: int | None = CONCURRENT,
    guardrails: str | None = GUARDRAILS,
    clear: list[str] = CLEAR,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Change what is given of a key and leave the rest; its secret stays. It holds in every worker within a second."""
    given = {
        "name": name, "team": team, "environment": environment, "feature": feature,
        "tags": pairs(tag, "--tag") or None, "allow": allow or None, "expires_at": _from_now(expires),
        "requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute, "concurrent": concurrent,
        "guardrails": guardrails,
    }  # fmt: skip
    body: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    for word in clear:
        field = _clearable(word)
        if field in body:
            raise typer.BadParameter(f"{word} is given and cleared at once", param_hint="--clear")
        body[field] = {} if field == "tags" else [] if field == "allow" else None
    if not body:
        raise typer.BadParameter("say what to change; `comporta key update --help` lists it")
    gate = find(data)
    row = gate.ask("PATCH", f"/admin/keys/{id_of(gate, key)}", body)
    if as_json:
        say_json(row)
    else:
        say(f"The key {row['name']} ({row['shown']}) is changed: {', '.join(body)}.")


def _from_now(expires: str | None) -> str | None:
    seconds = duration_s(expires, "--expires")
    return None if seconds is None else (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def _clearable(word: str) -> str:
    field = {"expires": "expires_at", "tag": "tags"}.get(word, word).replace("-", "_")
    if field not in _CLEARABLE:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(_CLEARABLE)}", param_hint="--clear")
    return field


def _list(revoked: bool = REVOKED, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """List keys, without their secrets."""
    found = find(data).ask("GET", "/admin/keys", query={"revoked": str(revoked).lower()})["data"]
    if as_json:
        say_json(found)
        return
    columns = (
        "name",
        "key",
        "state",
        "team",
        "environment",
        "feature",
        "allow",
        "guardrails",
        "admin",
        "expires",
        "id",
    )
    fields = ("name", "shown", "state", "team", "environment", "feature", "allow", "guardrails", "admin")
    rows = ([*(one[field] for field in fields), day(one["expires_at"]), one["id"]] for one in found)
    table(columns, rows, "There are no keys.")


def _revoke(key: str = WHICH, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """End a key for good, in every worker within a second."""
    gate = find(data)
    row = gate.ask("POST", f"/admin/keys/{id_of(gate, key)}/revoke")
    if as_json:
        say_json(row)
    else:
        say(f"The key {row['name']} ({row['shown']}) is revoked.")


def _rotate(key: str = WHICH, overlap: str = OVERLAP, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Give a key a new secret and print it; the old one ends, or stays good for a while."""
    gate = find(data)
    overlap_s = duration_s(overlap, "--overlap")
    _say_secret(gate.ask("POST", f"/admin/keys/{id_of(gate, key)}/rotate", {"overlap_s": overlap_s}), as_json)


def _say_secret(row: Any, as_json: bool) -> None:
    """The secret alone goes to standard output: `KEY=$(comporta key create app)`."""
    if as_json:
        say_json(row)
        return
    note(f"The secret of the key {row['name']} is shown this once:")
    say(row["secret"])


def id_of(gate: Gate, key: str) -> str:
    """The id of the living key of that name, else of the key with that id. Raises ComportaError."""
    found = gate.ask("GET", "/admin/keys", query={"revoked": "true"})["data"]
    living = [one["id"] for one in found if one["name"] == key and one["state"] != "revoked"]
    for id in (*living, *(one["id"] for one in found if one["id"] == key)):
        return str(id)
    raise ComportaError(f"There is no key named {key}; `comporta key list` shows them.", code="not_found")
