"""One question to the judge model on behalf of a call that a guard is in doubt about."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from comporta.app.guarding import UNGUARDED
from comporta.errors import Unavailable
from comporta.gateway.asking import ask
from comporta.pipeline import MAX_DEPTH, Call, Next, child_of
from comporta.types import Input, Message, Text


class Judging:
    """Asks `model()`. The call's caller pays for it; no guard looks at it, since a guard itself asks."""

    def __init__(self, pipeline: Callable[[], Next], model: Callable[[], str | None]) -> None:
        self._pipeline = pipeline
        self._model = model

    async def __call__(self, call: Call, system: str, text: str) -> str:
        """What the judge says. Raises ComportaError: Unavailable where none is configured or calls are too deep."""
        model = self._model()
        if model is None:
            raise Unavailable("There is no judge model: name one under guardrails.judge.", code="judge_unavailable")
        if call.depth >= MAX_DEPTH:
            raise Unavailable("Calls on behalf of calls are too deep for a judge.", code="judge_unavailable")
        asked = Input(
            messages=(Message("system", (Text(system),)), Message("user", (Text(text),))), temperature=0.0,
        )  # fmt: skip
        child = child_of(call, asked, model, door="guard")
        # The operator chose the model: what the key may name does not matter.
        child.caller = structs.replace(call.caller, allow=())
        child.facts[UNGUARDED] = True
        return (await ask(self._pipeline(), child)).text
