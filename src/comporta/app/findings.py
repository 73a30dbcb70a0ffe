"""Findings in the job worker: looking for drift, going over comments, doing what is wanted about what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from comporta.app.around import Around
from comporta.embedding.minilm import NAME, MiniLM
from comporta.feedback.drift.changes import Floats
from comporta.feedback.findings import tables
from comporta.feedback.findings.acting import Acting
from comporta.feedback.findings.commenting import Commenting
from comporta.feedback.findings.looking import Looking
from comporta.feedback.findings.shapes import Action, Kind
from comporta.feedback.findings.vectors import Embed
from comporta.notify.notice import Notice


async def look_for_drift(around: Around) -> None:
    """Hold what came against what was usual."""
    section = around.settings().findings
    if section.enabled:
        model = _model(around)
        known = None if model is None else (NAME, _embed(model))
        try:
            await Looking(around.database, section, _actions(around), known).round()
        finally:
            _let_go(model)


async def go_over_comments(around: Around) -> None:
    """How comments sound, which complaints are alike, which versions are worse."""
    settings = around.settings()
    if settings.findings.enabled:
        wanted = settings.feedback_system.processing
        model = _model(around)
        try:
            embed = None if model is None else _embed(model)
            await Commenting(around.database, wanted, _actions(around), embed).round()
        finally:
            _let_go(model)


async def act_on_findings(around: Around) -> None:
    """Do what waits to be done about findings."""

    async def send(notice: Notice, channels: list[str] | None) -> object:
        return await around.notifier.send(notice, channels)

    await Acting(around.database, send, around.gate.ask, lambda: around.settings().findings.channels).round()


async def prune_findings(around: Around) -> None:
    """Drop findings that are too old, and windows that nothing went through for two months."""
    async with around.database.connection() as connection:
        await connection.execute(tables.PRUNE, {"keep_s": around.settings().findings.keep})
        await connection.execute(tables.PRUNE_STREAMS)


def _actions(around: Around) -> Callable[[Kind], Sequence[Action]]:
    settings = around.settings()
    usual: list[Action] = ["start_tuning" if one == "auto_retrain" else one for one in settings.feedback_system.actions]
    return lambda kind: settings.findings.actions_of(kind, usual)


def _model(around: Around) -> MiniLM | None:
    """The model, loaded only when English is to be embedded; None where it is not installed or not wanted."""
    if around.settings().findings.vectors == "words":
        return None
    model = MiniLM(around.folder.cache)
    return model if model.installed else None


def _embed(model: MiniLM) -> Embed:
    async def embed(texts: Sequence[str]) -> Floats:
        return np.asarray(await model.embed(texts), dtype=np.float64)

    return embed


def _let_go(model: MiniLM | None) -> None:
    """A round comes every few minutes: nothing of it need stay in memory between them."""
    if model is not None:
        model.close()
