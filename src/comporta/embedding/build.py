"""The built model as a file: made once in a process of its own, kept under a cache folder, rebuilt when it is spoilt.

Building takes seconds and some 250 MB, which a gate should not keep; so a child runs this module. The file is the ONNX
model followed by its SHA-256: a file cut or changed is noticed and made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from comporta.errors import Unavailable

#: `int8` is small, fast and .985 to .999 like the full model; `full` is the model as it was trained.
Precision = Literal["int8", "full"]
#: Part of the file's name: raise it with every change of the graph or of the quantisation.
VERSION = 1
_DIGEST_BYTES = 32
_BUILD_TIMEOUT_S = 300.0
_SAMPLES, _SAMPLE_BYTES = 64, 4096


def built_name(weights: Path, precision: Precision = "int8") -> str:
    """The name of what is built from these weights, by samples of them: hashing all 90 MB would slow every start."""
    size = weights.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with weights.open("rb") as file:
        for i in range(_SAMPLES):
            file.seek(size * i // _SAMPLES)
            digest.update(file.read(_SAMPLE_BYTES))
    return f"all-MiniLM-L6-v2-{precision}-{VERSION}-{digest.hexdigest()[:16]}.onnx"


def built_model(weights: Path, cache: Path, precision: Precision = "int8") -> bytes:
    """The model, from the cache or built now. Blocks; of several processes one builds and the others wait for it."""
    target = cache / built_name(weights, precision)
    model = read_built(target)
    if model is not None:
        return model
    with contextlib.ExitStack() as stack:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(target.with_suffix(".lock")))
        except OSError:
            target = Path(stack.enter_context(tempfile.TemporaryDirectory())) / target.name
        model = read_built(target)
        return model if model is not None else _build(weights, target, precision)


def read_built(path: Path) -> bytes | None:
    """The model in a built file; None where the file is missing or not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    model, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    return model if model and hashlib.sha256(model).digest() == digest else None


def write_built(path: Path, model: bytes) -> None:
    """Write a built file whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(model + hashlib.sha256(model).digest())
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(weights: Path, target: Path, precision: Precision) -> bytes:
    command = [sys.executable, "-m", "comporta.embedding.build", str(weights), precision, str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_built(weights, type(error).__name__) from error
    model = read_built(target)
    if done.returncode != 0 or model is None:
        raise _not_built(weights, (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return model


def _not_built(weights: Path, reason: str) -> Unavailable:
    return Unavailable(
        f"The embedding model can't be built from {weights}: {reason}. "
        f"Try it by hand: {sys.executable} -m comporta.embedding.build {weights} model.onnx",
        code="embedding_unavailable",
    )


def main(arguments: list[str]) -> int:
    """Build the model from the weights (first argument) into a file (last), as precise as a word between them says."""
    # onnx and its friends are heavy, and only the child that builds needs them: the one marked place.
    from comporta.embedding.graph import full_model, int8_model  # noqa: PLC0415

    weights, target = Path(arguments[0]), Path(arguments[-1])
    made = full_model if arguments[1:-1] == ["full"] else int8_model
    write_built(target, made(weights))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
