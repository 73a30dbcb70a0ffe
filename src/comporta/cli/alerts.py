"""`comporta alerts`: the rules and how they stand, a test, what happened, silence."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer

from comporta.cli.gate import Gate, find
from comporta.cli.shown import AS_JSON, DATA, day, say, say_json, table
from comporta.telemetry.observability.bounds import shown

_TIMEOUT_S = 60.0
#: How long a test waits to hear how its notice went.
_DELIVERED_WITHIN_S = 20.0
_POLL_S = 0.3
_RULE = typer.Argument(help="The rule's name.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("list")(_list)
    below.command("test")(_test)
    below.command("history")(_history)
    below.command("silence")(_silence)
    below.command("unsilence")(_unsilence)
    app.add_typer(below, name=name, help=summary)


def _list(data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """List the rules and how they stand, those that are on first."""
    found = find(data).ask("GET", "/admin/alerts")["data"]
    if as_json:
        say_json(found)
        return
    rows = (
        (a["state"], a["name"], a["metric"], a["shown"], a["threshold"], _minutes(a["window_s"]), a["filter"],
         day(a["since"]), _silenced(a["silenced"]), a["reason"], a["source"])
        for a in found
    )  # fmt: skip
    names = ("state", "rule", "metric", "value", "threshold", "window", "of", "since", "silenced", "why", "from")
    table(names, rows, "There is no rule: all of them are turned off.")


def _test(
    rule: str = _RULE,
    send: bool = typer.Option(True, help="Send a test over the rule's channels too."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Look at a rule's figure now, say what it would mean, and send a test where it would be told."""
    gate = find(data, timeout_s=_TIMEOUT_S)
    done = gate.ask("POST", f"/admin/alerts/{quote(rule, safe='')}/test", {"send": send})
    done["deliveries"] = _followed(gate, done["notice_id"], done["deliveries"])
    if as_json:
        say_json(done)
    else:
        say(f"{done['level']}: {done['sentence']} The rule: {done['threshold']}.")
        for one in done["deliveries"]:
            say(_delivery(one))
        if send and not done["deliveries"]:
            say("Nobody is told: there is no channel for it (write some under notify.channels).")
    if any(one["state"] != "delivered" for one in done["deliveries"]):
        sys.exit(1)


def _history(
    rule: str | None = typer.Argument(None, help="Only of this rule."),
    limit: int = typer.Option(20, min=1, max=200, help="How many."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Show what happened and how people were told, the newest first."""
    page = find(data).ask("GET", "/admin/alerts/history", query={"rule": rule, "limit": limit})
    if as_json:
        say_json(page)
        return
    rows = (
        (day(e["at"]), e["rule"], e["kind"].removeprefix("alert."), f"{e['state_before']} → {e['state']}",
         _number(e["value"]), e["calls"], _told(e))
        for e in page["data"]
    )  # fmt: skip
    table(("at", "rule", "what", "state", "value", "calls", "told"), rows, "Nothing has happened yet.")


def _silence(
    rule: str = _RULE,
    for_: str = typer.Argument(metavar="FOR", help="How long: 30m, 2h, 1d …"),
    reason: str | None = typer.Option(None, help="Why, for the others."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Tell nobody of a rule for so long; what lasts longer is told then."""
    body = {"for": for_, **({"reason": reason} if reason is not None else {})}
    done = find(data).ask("POST", f"/admin/alerts/{quote(rule, safe='')}/silence", body)
    if as_json:
        say_json(done)
    else:
        say(f"{rule} is silent until {day(done['ends_at'])} UTC.")


def _unsilence(rule: str = _RULE, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """End a rule's silence now."""
    done = find(data).ask("DELETE", f"/admin/alerts/{quote(rule, safe='')}/silence")
    if as_json:
        say_json(done)
    else:
        say(f"{rule} is heard again." if done["ended"] else f"{rule} was not silenced.")


def _followed(gate: Gate, notice: str | None, deliveries: list[Any]) -> list[Any]:
    """The deliveries once each was tried, or as far as they are after a while."""
    until = time.monotonic() + _DELIVERED_WITHIN_S
    while notice is not None and time.monotonic() < until:
        if all(one["state"] != "waiting" or one["told"] for one in deliveries):
            break
        time.sleep(_POLL_S)
        deliveries = gate.ask("GET", f"/admin/notices/{quote(notice, safe='')}")["deliveries"]
    return deliveries


def _told(event: Any) -> str:
    if event["silenced"]:
        return "silenced"
    return ", ".join(map(_delivery, event["deliveries"])) or "nobody"


def _delivery(one: Any) -> str:
    told = f" ({one['told']})" if one["told"] and one["state"] != "delivered" else ""
    return f"{one['channel']} {one['state']}{told}"


def _silenced(silence: Any) -> str | None:
    return None if silence is None else f"until {day(silence['ends_at'])} by {silence['made_by']}"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _minutes(seconds: float) -> str:
    return shown(seconds, "s") if seconds < 60 else f"{seconds / 60:g}m" if seconds < 3600 else f"{seconds / 3600:g}h"
