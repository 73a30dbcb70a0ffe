"""The `chains` section: where chain files are."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from comporta.config.section import Section


class ChainsSection(Section):
    """Chains: several prompts in a row, asked for as one model."""

    folder: Path | None = Field(
        None,
        description="The folder of chain files, beside the configuration unless it begins with /; without it `chains`, "
        "where that is there.",
    )
