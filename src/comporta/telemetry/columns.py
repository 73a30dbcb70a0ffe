"""What figures can be narrowed to and grouped by."""

from __future__ import annotations

#: By the word that people use, the column behind it.
COLUMNS = {
    "route": "route",
    "variant": "variant",
    "provider": "provider",
    "model": "model",
    "key": "key_id",
    "team": "team",
    "environment": "environment",
    "feature": "feature",
    "prompt": "prompt_id",
    "prompt_version": "prompt_version",
}
