"""Scorers in Python: `module:function`, `checks.py:function` beside the file, or an installed entry point's name."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
import inspect
import math
import re
import traceback
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

from comporta.config.tree import Path
from comporta.evaluation.base import Answer, Scorer, Tools, Unjudged, Verdict
from comporta.evaluation.table import Kind
from comporta.prompts.reading import Reading

GROUP = "comporta.scorers"
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_FILE = re.compile(r"[^\x00:]+\.py:[^\W\d]\w*")
_NAME = re.compile(r"[\w.-]+")
_MOST_TOLD = 300
_RETURNS = "true or false, a number from 0 to 1, a pair of either and a reason, or a Verdict"


def _read(reading: Reading, path: Path) -> Scorer | None:
    name = reading.text((*path, "python"))
    if not any(form.fullmatch(name) for form in (_MODULE, _FILE, _NAME)):
        reading.wrong((*path, "python"), "must be module:function, file.py:function, or the name of an entry point")
        return None
    node = reading.node((*path, "python"))
    beside = FilePath(node.place.file).parent if node is not None and node.place.file else None
    given = reading.mapping((*path, "with"))
    pass_at = reading.number((*path, "pass_at"), 0, 1)
    loaded: list[Callable[..., Any]] = []

    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        if not tools.functions:
            raise Unjudged(
                "Python functions are run from files of one's own only, and this assertion came from elsewhere"
            )
        if not loaded:
            loaded.append(found(name, beside or tools.folder))
        said = await _called(name, loaded[0], given, answer, tools)
        return _verdict(name, said, 0.5 if pass_at is None else pass_at)

    return scorer


def found(name: str, folder: FilePath | None) -> Callable[..., Any]:
    """The function of a name. Raises Unjudged, saying where it was looked for."""
    try:
        function = _loaded(name, folder)
    except Unjudged:
        raise
    except Exception as error:
        raise Unjudged(f"{name} can't be loaded: {type(error).__name__}: {error}"[:_MOST_TOLD]) from error
    if not callable(function):
        raise Unjudged(f"{name} is no function")
    return function  # type: ignore[no-any-return]


def _loaded(name: str, folder: FilePath | None) -> Any:
    if ":" not in name:
        return _entry_point(name)
    where, _, attribute = name.rpartition(":")
    function = _file(FilePath(where), folder) if where.endswith(".py") else _module(where, folder)
    for step in attribute.split("."):
        if not hasattr(function, step):
            raise Unjudged(f"{where} has no {attribute}")
        function = getattr(function, step)
    return function


def _entry_point(name: str) -> Any:
    points = importlib.metadata.entry_points(group=GROUP)
    if name not in points.names:
        known = ", ".join(sorted(points.names)) or "none"
        raise Unjudged(f"no entry point {name} in the group {GROUP}; installed: {known}")
    return points[name].load()


def _module(where: str, folder: FilePath | None) -> Any:
    """An installed module, else one beside the file or in the current folder: a command's path has neither of them."""
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not (where == error.name or where.startswith(f"{error.name}.")):
            raise
        below = FilePath(*where.split(".")).with_suffix(".py")
        for place in (folder, FilePath()):
            if place is not None and (place / below).is_file():
                return _file(below, place)
        raise


def _file(where: FilePath, folder: FilePath | None) -> Any:
    path = (folder or FilePath()) / where
    if not path.is_file():
        raise Unjudged(f"{path} is not there")
    spec = importlib.util.spec_from_file_location(f"comporta_checks_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise Unjudged(f"{path} can't be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def _called(name: str, function: Callable[..., Any], given: dict[str, Any], answer: Answer, tools: Tools) -> Any:
    """What the function returns; one that only waits on nothing runs on a thread, so that others go on."""
    if "tools" in _parameters(function):
        given = {"tools": tools, **given}
    try:
        async with asyncio.timeout(tools.function_timeout_s):
            if inspect.iscoroutinefunction(function):
                return await function(answer, **given)
            said = await asyncio.to_thread(function, answer, **given)
            return await said if inspect.isawaitable(said) else said
    except AssertionError as error:
        return False, str(error) or "an assertion of the function failed"
    except TimeoutError:
        raise Unjudged(f"{name} took longer than {tools.function_timeout_s:g} s") from None
    except Unjudged:
        raise
    except Exception as error:
        raise Unjudged(f"{name} failed: {_where(error)}"[:_MOST_TOLD]) from error


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def _where(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({FilePath(last.filename).name}:{last.lineno})"


def _verdict(name: str, said: Any, pass_at: float) -> Verdict:
    if isinstance(said, Verdict):
        return said
    reason = ""
    if isinstance(said, tuple) and len(said) == 2:
        said, reason = said[0], str(said[1])
    if isinstance(said, bool):
        return Verdict(said, reason=reason or f"{name} says {'yes' if said else 'no'}")
    if isinstance(said, int | float) and math.isfinite(said):
        return Verdict(said >= pass_at, float(said), reason or f"{name} gives {said:g}, at least {pass_at:g} asked")
    raise Unjudged(f"{name} returned {type(said).__name__}; it must return {_RETURNS}")


KINDS = (Kind("python", _read, "a Python function of yours says so", ("with", "pass_at")),)
