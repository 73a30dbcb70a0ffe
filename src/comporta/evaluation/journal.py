"""What a run has done so far, a line for each try: a run that was killed goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import msgspec

from comporta.errors import ComportaError
from comporta.evaluation.trial import Trial

_DECODER = msgspec.json.Decoder(Trial)


class Journal:
    """A file of tries, added to line by line. Use it as `with`; `known` are those of the run before, by key."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self.known: Mapping[str, Trial] = read(path) if resume else {}
        self._resume = resume
        self._file: int | None = None

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # What models answered may be private.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if self._resume else os.O_TRUNC)
            self._file = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise ComportaError(f"The journal {self.path} can't be written: {error.strerror}.") from None
        if self._resume:
            # A line that a kill cut short must not run into the next one.
            os.write(self._file, b"\n")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def add(self, trial: Trial) -> None:
        """One line, written whole. Raises ComportaError where the disk is full."""
        assert self._file is not None, "used outside of `with`"
        line = msgspec.json.encode(trial) + b"\n"
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(28, "No space left on device")
        except OSError as error:
            raise ComportaError(f"The journal {self.path} can't be written: {error.strerror}.") from None


def read(path: Path) -> dict[str, Trial]:
    """The tries of a file that came to an answer, by key; a line that was cut short is passed over."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return {}
    found: dict[str, Trial] = {}
    for line in lines:
        try:
            trial = _DECODER.decode(line)
        except (msgspec.DecodeError, msgspec.ValidationError):
            continue
        if trial.error is None and not trial.unjudged:
            found[trial.key] = trial
    return found
