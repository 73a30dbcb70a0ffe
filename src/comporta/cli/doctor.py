"""`comporta doctor`: looks at everything the gate needs, all at once, and says how to mend what fails."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import typer
from rich.console import Console
from rich.text import Text

from comporta.app.folder import Folder
from comporta.cli.checks.every import CHECKS
from comporta.cli.checks.site import Check, Finding, Site
from comporta.cli.place import CONFIG, known, load
from comporta.cli.shown import AS_JSON, DATA, say_json
from comporta.errors import ConfigError

_LIMIT_S = 12.0
_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
ASK = typer.Option(False, "--ask", help="Send each provider a call of one token, to see what its rate limits leave.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    app.command(name, help=summary)(_doctor)


def _doctor(config: Path | None = CONFIG, data: Path = DATA, ask: bool = ASK, as_json: bool = AS_JSON) -> None:
    findings = asyncio.run(_examine(config, data, ask))
    if as_json:
        say_json([msgspec.to_builtins(finding) for finding in findings])
    else:
        _tell(findings)
    raise typer.Exit(1 if any(finding.state == "failed" for finding in findings) else 0)


async def _examine(config: Path | None, data: Path, ask: bool) -> list[Finding]:
    timeout = aiohttp.ClientTimeout(total=_LIMIT_S - 1)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as http:
        return await examine(_site(config, data, ask, http))


def _site(config: Path | None, data: Path, ask: bool, http: aiohttp.ClientSession) -> Site:
    folder = Folder(data)
    facts: dict[str, Any] = {"host": "127.0.0.1", "port": 8080}
    try:
        loaded = load(config, data)
        facts |= {"loaded": loaded, "host": loaded.value.server.host, "port": loaded.value.server.port}
        facts["known"] = known(loaded, data)
    except ConfigError as error:
        facts["mistakes"] = error.message
    environment = facts["loaded"].environment if "loaded" in facts else os.environ
    facts["host"] = environment.get("COMPORTA_HOST") or facts["host"]
    port = environment.get("COMPORTA_PORT", "")
    facts["port"] = int(port) if port.isdecimal() and 0 < int(port) < 65536 else facts["port"]
    return Site(folder=folder, environment=environment, http=http, running=folder.running(), ask=ask, **facts)


async def examine(site: Site, checks: Sequence[Check] = CHECKS, limit_s: float = _LIMIT_S) -> list[Finding]:
    """What all the checks find, in their order; one that hangs or breaks is a finding of its own."""
    found = await asyncio.gather(*(_one(check, site, limit_s) for check in checks))
    return [finding for findings in found for finding in findings]


async def _one(check: Check, site: Site, limit_s: float) -> Sequence[Finding]:
    name = getattr(check, "__name__", "check").replace("_", " ")
    try:
        async with asyncio.timeout(limit_s):
            return await check(site)
    except TimeoutError:
        return [Finding(name, "failed", f"no result within {limit_s:g} s")]
    except Exception as error:
        return [Finding(name, "failed", f"could not be checked: {type(error).__name__}: {error}")]


def _tell(findings: Iterable[Finding]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)
    found = list(findings)
    width = max(len(finding.name) for finding in found)
    for finding in found:
        line = Text(f"{finding.state:<8}", style=_STYLES[finding.state])
        line.append(f"{finding.name:<{width}}  {finding.text}", style="default")
        console.print(line)
        if finding.mend and finding.state != "ok":
            console.print(Text(f"{'':<8}{'':<{width}}  → {finding.mend}", style="cyan"))
    counts = {state: sum(finding.state == state for finding in found) for state in _STYLES}
    console.print(Text(", ".join(f"{count} {state}" for state, count in counts.items() if count)))
