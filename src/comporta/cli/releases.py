"""`comporta prompts`, from the registry on: deploy, roll back, approve, and look at what there is and was."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import typer

from comporta.cli.gate import Gate, find, part
from comporta.cli.shown import AS_JSON, DATA, day, note, say, say_json, table
from comporta.cli.written import pairs
from comporta.errors import ComportaError
from comporta.prompts.commit import commit_here
from comporta.prompts.refs import ref_of
from comporta.types import PromptRef

WHICH = typer.Argument(help="The prompt's id.", metavar="PROMPT")
VERSION = typer.Argument(help="Prompt and version: support@2.3.1.", metavar="PROMPT@VERSION")
MAYBE_VERSION = typer.Argument(None, help="Prompt and version: support@2.3.1.", metavar="[PROMPT@VERSION]")
AT = typer.Argument(
    help="A prompt, or one of its versions: support, support@2.3.1, support@production.", metavar="PROMPT[@VERSION]"
)
ENV = typer.Option(..., "--env", "-e", help="Which environment: production, staging …")
SOME_ENV = typer.Option(None, "--env", "-e", help="Of this environment only.")
WHY = typer.Option("", "--why", help="For the history.")
TAG = typer.Option([], "--tag", help="A word on the deploy, as name=value; several times.")
SHA = typer.Option(None, "--commit-sha", help="Default: as the push says, else as git says here.")
AUTHOR = typer.Option(None, "--author", help="Default: as the push says.")
MODEL = typer.Option(None, "--model-version", help="Default: the prompt's model.")
YES = typer.Option(False, "--yes", "-y", help="Don't ask.")
FORCE = typer.Option(False, "--force", help="Let a lower version in.")
CHANGED = typer.Option(False, "--changed", help="Every release that is higher than what is there and never was there.")
LIMIT = typer.Option(50, "--limit", min=1, max=1000, help="At most so many.")
_PAGE = 500


def add(below: typer.Typer) -> None:
    """Put the commands below `comporta prompts`."""
    for name, command in (
        ("deploy", _deploy), ("rollback", _rollback), ("approve", _approve), ("list", _list), ("show", _show),
        ("diff", _diff), ("history", _history), ("log", _log),
    ):  # fmt: skip
        below.command(name)(command)


# ---- changing -------------------------------------------------------------------------------------------------------


def _deploy(
    which: str | None = MAYBE_VERSION,
    env: str = ENV,
    changed: bool = CHANGED,
    why: str = WHY,
    tag: list[str] = TAG,
    commit_sha: str | None = SHA,
    author: str | None = AUTHOR,
    model_version: str | None = MODEL,
    force: bool = FORCE,
    yes: bool = YES,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Point an environment at a version, in every worker within a second; the difference is shown first."""
    if changed == (which is not None):
        raise typer.BadParameter("name a version (support@2.3.1), or say --changed")
    said = {"commit_sha": commit_sha, "author": author, "model_version": model_version}
    tags = pairs(tag, "--tag") | {name: value for name, value in said.items() if value}
    body: dict[str, Any] = {"environment": env, "why": why, "tags": tags}
    gate = find(data)
    if which is None:
        if force:
            raise typer.BadParameter("--force is for one version", param_hint="--force")
        _deploy_changed(gate, body, yes, as_json)
        return
    ref = _version(which)
    path = f"/admin/prompts/{part(ref.id)}"
    body |= {"version": ref.version, "force": force}
    plan = _planned(gate, f"{path}/plan", body, lambda answer: [answer])[0]
    if not plan["same"]:
        _show_plan(plan)
        _demand([plan])
        _confirm(yes, f"Deploy {plan['id']}@{plan['version']} to {env}?")
        body["replacing"] = plan["before"] or ""
    _tell_deploys([gate.ask("POST", f"{path}/deploy", body)], as_json)


def _deploy_changed(gate: Gate, body: dict[str, Any], yes: bool, as_json: bool) -> None:
    plans = _planned(gate, "/admin/prompts/plan", body, lambda answer: answer["data"])
    if not plans:
        note(f"Nothing has changed since {body['environment']} was deployed to.")
    for plan in plans:
        _show_plan(plan)
    _demand(plans)
    if plans:
        _confirm(yes, f"Deploy {len(plans)} to {body['environment']}?")
        body["expecting"] = [f"{plan['id']}@{plan['version']}" for plan in plans]
    done = gate.ask("POST", "/admin/prompts/deploy", body)["data"] if plans else []
    _tell_deploys(done, as_json)


def _planned(gate: Gate, path: str, body: dict[str, Any], rows: Any) -> list[Any]:
    """What would be done. Where the push said no commit, that of this folder is taken."""
    plans: list[Any] = rows(gate.ask("POST", path, body))
    if any("commit_sha" not in plan["tags"] for plan in plans):
        here = asyncio.run(commit_here(Path.cwd()))
        if here is not None and here.sha:
            body["otherwise"] = {"commit_sha": here.sha}
            plans = rows(gate.ask("POST", path, body))
    return plans


def _show_plan(plan: Any) -> None:
    """For whoever decides, so not among what programs read."""
    if plan["diff"]:
        note(plan["diff"])
    replaced = f"replaces {plan['before']}" if plan["before"] else "is the first there"
    note(f"{plan['id']}@{plan['version']} {replaced} in {plan['environment']}.")


def _demand(plans: list[Any]) -> None:
    missing = dict.fromkeys(text for plan in plans for text in plan["missing"])
    if missing:
        raise ComportaError("\n".join(missing), code="deploy_refused")


def _confirm(yes: bool, question: str) -> None:
    """Asked of people; a program that has no terminal means what it says."""
    if not yes and on_terminal():
        typer.confirm(question, abort=True, err=True)


def on_terminal() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _tell_deploys(done: list[Any], as_json: bool) -> None:
    if as_json:
        say_json(done)
        return
    for one in done:
        name, env = f"{one['id']}@{one['version']}", one["environment"]
        if not one["changed"]:
            say(f"{name} is in {env} already, since {day(one['at'])}.")
            continue
        watched = f"; watched until {day(one['watch_until'])} UTC" if one["watch_until"] else ""
        before = f" in place of {one['before']}" if one["before"] else ""
        say(f"{name} is in {env} now{before}{watched}.")


def _rollback(
    which: str = WHICH, env: str = ENV, why: str = WHY, yes: bool = YES, data: Path = DATA, as_json: bool = AS_JSON
) -> None:
    """Point an environment at what it had before the deploy in effect; a second time goes back further."""
    gate, ref = find(data), _prompt(which)
    path = f"/admin/prompts/{part(ref.id)}"
    label = next((one for one in gate.ask("GET", path)["labels"] if one["environment"] == env), None)
    body = {"environment": env, "why": why, "expecting": None if label is None else label["deploy"]}
    if label is not None:
        _confirm(yes, f"Roll {ref.id} in {env} back from {label['version']}?")
    done = gate.ask("POST", f"{path}/rollback", body)
    if as_json:
        say_json(done)
    else:
        say(f"{ref.id} in {env} is back at {done['version']}, from {done['before']}.")


def _approve(which: str = VERSION, env: str = ENV, why: str = WHY, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Say yes to a version in an environment. Neither its author nor who pushed it may."""
    ref = _version(which)
    body = {"version": ref.version, "environment": env, "why": why}
    done = find(data).ask("POST", f"/admin/prompts/{part(ref.id)}/approvals", body)
    if as_json:
        say_json(done)
    else:
        say(f"{done['id']}@{done['version']} is approved for {env} by {done['by']}.")


# ---- looking --------------------------------------------------------------------------------------------------------


def _list(
    prefix: str = typer.Argument("", help="What ids begin with."), data: Path = DATA, as_json: bool = AS_JSON
) -> None:
    """List the prompts of the registry, and where their labels point."""
    gate = find(data)
    found: list[Any] = []
    after: str | None = ""
    while after is not None:
        page = gate.ask("GET", "/admin/prompts", query={"prefix": prefix, "after": after, "limit": _PAGE})
        found += page["data"]
        after = page["next"]
    if as_json:
        say_json(found)
        return
    rows = ((one["id"], one["highest"], one["versions"], one["labels"], day(one["pushed_at"])) for one in found)
    table(("prompt", "highest", "versions", "environments", "pushed"), rows, "There are no prompts.")


def _show(which: str = AT, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Show a prompt's versions and labels; of one version its text, as a prompt file."""
    ref, gate = _ref(which), find(data)
    path = f"/admin/prompts/{part(ref.id)}"
    at = ref.version or ref.label
    found = gate.ask("GET", path if at is None else f"{path}/versions/{part(at)}")
    if as_json:
        say_json(found)
    elif at is None:
        _show_prompt(found)
    else:
        _show_version(found)


def _show_prompt(found: Any) -> None:
    say(found["id"])
    labels = ((one["environment"], one["version"], day(one["moved_at"]), one["tags"]) for one in found["labels"])
    table(("environment", "version", "since", "tags"), labels, "It is deployed nowhere.")
    versions = (
        (one["version"], day(one["pushed_at"]), one["pushed_by"], one["author"], one["commit_sha"], one["message"])
        for one in found["versions"]
    )
    table(("version", "pushed", "by", "author", "commit", "message"), versions, "")


def _show_version(found: Any) -> None:
    """Facts as comments, so that the whole is a prompt file."""
    say(f"# {found['id']}@{found['version']}, pushed {day(found['pushed_at'])} by {found['pushed_by']}")
    said = {"commit": found["commit_sha"], "author": found["author"], "message": found["message"],
            "digest": found["digest"]}  # fmt: skip
    for name, value in said.items():
        if value:
            say(f"# {name}: {value}")
    for one in found["approvals"]:
        say(f"# approved for {one['environment']} by {one['by']}, {day(one['at'])}")
    for one in found["tests"][:1]:
        say(f"# tests: {one['verdict']}, {day(one['at'])}")
    sys.stdout.write(found["text"])


def _diff(
    before: str = typer.Argument(help="support@2.2.0, or support@production.", metavar="BEFORE"),
    after: str = typer.Argument(help="support@2.3.1, or an environment again.", metavar="AFTER"),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Show the difference between two versions of a prompt."""
    old, new = _ref(before), _ref(after)
    if old.id != new.id:
        raise typer.BadParameter(f"{old.id} and {new.id} are two prompts")
    ends = {"before": old.version or old.label, "after": new.version or new.label}
    if None in ends.values():
        raise typer.BadParameter("say which versions: support@2.2.0 support@2.3.1")
    found = find(data).ask("GET", f"/admin/prompts/{part(old.id)}/diff", query=ends)
    if as_json:
        say_json(found)
    elif found["diff"]:
        say(found["diff"])
    else:
        note(f"Both are {old.id}@{found['after']}.")


def _history(
    which: str = WHICH, env: str | None = SOME_ENV, limit: int = LIMIT, data: Path = DATA, as_json: bool = AS_JSON
) -> None:
    """List the moves of a prompt's labels: who, from what to what, why, with which tags; the newest first."""
    query = {"environment": env, "limit": limit}
    found = find(data).ask("GET", f"/admin/prompts/{part(_prompt(which).id)}/history", query=query)["data"]
    if as_json:
        say_json(found)
        return
    rows = (
        (day(one["at"]), one["kind"], one["environment"], one["before"], one["version"], one["by"], one["why"] or None,
         one["tags"])
        for one in found
    )  # fmt: skip
    table(("at", "what", "environment", "from", "to", "by", "why", "tags"), rows, "It was deployed nowhere.")


def _log(
    which: str | None = typer.Argument(None, help="The prompt's id; left out: all.", metavar="[PROMPT]"),
    limit: int = LIMIT,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """List the audit log of prompts, the newest first. Nothing in it can be changed or taken out."""
    query = {"subject": which, "act": "prompt.", "limit": limit}
    found = find(data).ask("GET", "/admin/audit", query=query)["data"]
    if as_json:
        say_json(found)
        return
    rows = (
        (day(one["at"]), one["by"], one["act"], one["subject"], one["why"] or None, _details(one["details"]))
        for one in found
    )
    table(("at", "by", "act", "prompt", "why", "details"), rows, "Nothing was done yet.")


def _details(details: dict[str, Any]) -> str:
    """The short ones: a digest says nothing to people."""
    shown = {name: value for name, value in details.items() if name not in ("digest", "tags", "message")}
    return ", ".join(f"{name}={value}" for name, value in shown.items())


# ---- what was written -----------------------------------------------------------------------------------------------


def _ref(text: str) -> PromptRef:
    try:
        return ref_of(text)
    except ValueError as why:
        raise typer.BadParameter(str(why)) from None


def _version(text: str) -> PromptRef:
    ref = _ref(text)
    if ref.version is None:
        raise typer.BadParameter(f"{text} names no version: {ref.id}@2.3.1")
    return ref


def _prompt(text: str) -> PromptRef:
    ref = _ref(text)
    if ref.version is not None or ref.label is not None:
        raise typer.BadParameter(f"name the prompt alone: {ref.id}")
    return ref
