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
    keep: Duration = Field(30 * _DAY_S, gt=0, validate_default=True, description="How long files and batches are kept.")
