"""What other stages tell the cache in a call's facts."""

from __future__ import annotations

from typing import Final

#: How alike (cosine, 0 to 1) a question must be to a kept one for this call, in place of the route's threshold.
SIMILARITY: Final = "cache_similarity"
