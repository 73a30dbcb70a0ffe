"""One running gate for all end-to-end tests that don't kill it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comporta.testing.servers import short_folder
from support.serving import CONFIG, SECRETS, Fakes, Served


@pytest.fixture(scope="session")
def fakes() -> Iterator[Fakes]:
    fakes = Fakes()
    yield fakes
    fakes.close()


@pytest.fixture(scope="session")
def gate(fakes: Fakes) -> Iterator[Served]:
    """One gate for all tests that don't kill it; tests keep apart by the names of their models."""
    config = CONFIG.format(
        openai=fakes.openai.url, anthropic=fakes.anthropic.url, gemini=fakes.gemini.url, ollama=fakes.ollama.url
    )
    with short_folder() as folder:
        served = Served(folder, config, SECRETS)
        served.start()
        yield served
        code = served.stop()
        left = served.processes()
        assert code == 0, served.output
        assert not left, f"still running: {left}"
