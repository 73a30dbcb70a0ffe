"""Room on the disk that is held in reserve, and let go when the disk is full: records under way still find a place."""

from __future__ import annotations

import os
from pathlib import Path


class Ballast:
    """A file of so many bytes that holds nothing."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        #: Whether the room is held.
        self.held = False

    def hold(self) -> bool:
        """Take the room; False where the disk has not so much."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            finally:
                os.close(descriptor)
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        self.held = True
        return True

    def release(self) -> bool:
        """Let go; False where there was nothing to let go of."""
        if not self.held:
            return False
        self.held = False
        self._path.unlink(missing_ok=True)
        return True
