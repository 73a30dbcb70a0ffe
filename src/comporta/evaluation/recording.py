"""Answers kept in a folder and given again: `--record` asks and keeps, `--replay` asks nobody.

Each answer is a file named by what was asked, so that recordings can be looked at, kept in git and edited. The same
question asked several times has a file for each time.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from comporta.errors import ComportaError, NotFound
from comporta.evaluation.base import Guarded
from comporta.evaluation.targets import Sent, Target
from comporta.pipeline import Call
from comporta.prompts.values import Guardrails
from comporta.providers.base import Query
from comporta.providers.openai_encode import body_of
from comporta.types import JSON, Reply


class Kept(Struct, frozen=True, omit_defaults=True):
    """A file: what was asked, and what came of it (or the error that did)."""

    asked: JSON
    reply: Reply = Reply()
    latency_s: float = 0.0
    cost_microusd: int | None = None
    model: str | None = None
    guards: tuple[Guarded, ...] | None = None


class Recording:
    """A folder of answers; with a target it asks and keeps, without one it gives again."""

    def __init__(self, folder: Path, target: Target | None = None) -> None:
        self._folder = folder
        self._target = target
        #: How often each question came up in this run.
        self._turns: dict[str, int] = {}

    async def send(self, body: JSON, timeout_s: float | None = None, guardrails: Guardrails | None = None) -> Sent:
        path = self._path(body)
        if self._target is None:
            kept = _read(path, body)
            return Sent(kept.reply, kept.latency_s, kept.cost_microusd, kept.model, kept.guards)
        sent = await self._target.send(body, timeout_s, guardrails)
        self._keep(path, Kept(body, _light(sent.reply), sent.latency_s, sent.cost_microusd, sent.model, sent.guards))
        return sent

    async def ask(self, call: Call) -> Reply:
        body, _ = body_of(Query("chat", call.input, call.model), {})
        path = self._path(body)
        if self._target is None:
            kept = _read(path, body)
            call.cost_microusd = kept.cost_microusd
            return kept.reply
        reply = await self._target.ask(call)
        self._keep(path, Kept(body, _light(reply), call.latency_s, call.cost_microusd, call.reply_model))
        return reply

    def _path(self, body: JSON) -> Path:
        name = hashlib.sha256(msgspec.json.encode(body, order="deterministic")).hexdigest()[:24]
        turn = self._turns.get(name, 0)
        self._turns[name] = turn + 1
        return self._folder / f"{name}-{turn}.json"

    def _keep(self, path: Path, kept: Kept) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
        except OSError as error:
            raise ComportaError(
                f"The recording {path} can't be written: {error.strerror}.", code="recording_unwritable"
            ) from None


def _light(reply: Reply) -> Reply:
    """Without the provider's own words, which say the same again."""
    return msgspec.structs.replace(reply, raw=None, wire="")


def _read(path: Path, body: JSON) -> Kept:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except FileNotFoundError:
        said = str(body["messages"][-1].get("content"))[:80]
        raise NotFound(
            f"Nothing is recorded in {path.parent} for this question to {body['model']} («{said}»): prompt, case or "
            "model changed since, or it was asked fewer times. Record it anew with --record.",
            code="not_recorded",
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise ComportaError(f"The recording {path} can't be read ({error}).", code="recording_unreadable") from None
