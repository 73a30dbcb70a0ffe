"""An example of each door's body, by the door's name."""

from __future__ import annotations

from typing import Any, Final

_ASKED: Final = {"role": "user", "content": "Where is my parcel?"}

BODIES: Final[dict[str, dict[str, Any]]] = {
    "openai.chat": {
        "model": "support",
        "messages": [{"role": "system", "content": "Answer in one sentence."}, _ASKED],
        "max_tokens": 200,
        "stream": False,
        "user": "customer-4711",
        "metadata": {"session_id": "visit-0815"},
    },
    "openai.completions": {"model": "support", "prompt": "Once upon a time", "max_tokens": 200},
    "openai.responses": {"model": "support", "input": "Where is my parcel?", "instructions": "Answer in one sentence."},
    "openai.embeddings": {"model": "minilm/all-MiniLM-L6-v2", "input": ["Where is my parcel?", "It is lost."]},
    "anthropic.messages": {
        "model": "support",
        "max_tokens": 200,
        "system": "Answer in one sentence.",
        "messages": [_ASKED],
    },
    "anthropic.count_tokens": {"model": "support", "messages": [_ASKED]},
}
