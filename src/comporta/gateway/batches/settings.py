"""The section `batches:` of the configuration."""

from __future__ import annotations

from pydantic import Field

from comporta.config.section import Section
from comporta.config.values import Duration, Size

_DAY_S = 86_400.0


class BatchesSection(Section):
    """Files of requests that the job worker asks for their keys."""

    enabled: bool = Field(True, description="Take files and batches at /v1/files and /v1/batches.")
    concurrency: int = Field(8, ge=1, le=256, description="How many rows each job worker asks at a time.")
    max_file: Size = Field(50 << 20, gt=0, validate_default=True, description="The largest file.")
    max_rows: int = Field(50_000, ge=1, le=1_000_000, description="The most rows of a file.")
    window: Duration = Field(_DAY_S, gt=0, validate_default=True, description="Rows not asked by then are left out.")
    native: bool = Field(
        False,
        description="Hand rows to their provider's own batch API where that is cheaper; a batch may say otherwise.",
    )
    native_poll: Duration = Field(
        60.0, gt=0, validate_default=True, description="How often providers are asked how far their batches are."
    )
    native_leave: Duration = Field(
        7_200.0,
        ge=0,
        validate_default=True,
        description="So long before a batch's window ends (at most a quarter of "
        "it) rows are taken back from providers, and asked by themselves.",
    )
    keep: Duration = Field(30 * _DAY_S, gt=0, validate_default=True, description="How long files and batches are kept.")
