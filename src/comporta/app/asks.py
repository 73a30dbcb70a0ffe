"""What a program asks of the gate that it holds: calls, streams, batches, chains, judgements, models of its own."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from comporta.app.batch import batch
from comporta.app.chains import Chained, Chaining, Runner
from comporta.app.checking import Checking
from comporta.app.ensembles import Ensembling
from comporta.app.folder import Folder
from comporta.app.known import DEFAULT_ROUTE, Known
from comporta.app.metering import Metering
from comporta.app.settings import Settings
from comporta.app.sparing import Sparing
from comporta.app.tasking import Tasking, given_of
from comporta.app.telemetry import Telemetry
from comporta.app.together import Together, flattened, groups, most, question_of
from comporta.chains.values import Chain
from comporta.config.loading import Loaded
from comporta.errors import BadRequest, ComportaError, Conflict
from comporta.feedback.taking import Feedback, Taken
from comporta.gateway.answering import call_of
from comporta.gateway.asking import Streamed, ask
from comporta.gateway.doors.base import Door
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.doors.openai_embeddings import OpenAIEmbeddings
from comporta.gateway.fallback import GIVEN_S
from comporta.guardrails.trying import Checked
from comporta.pipeline import Call, Next
from comporta.routing.registered import RegisteredModel, RegisteredModels
from comporta.routing.task.estimate import Estimate
from comporta.routing.task.selecting import Selected
from comporta.routing.task.steering import HEADER
from comporta.store.database import Database
from comporta.text.tokens import Count
from comporta.types import JSON, Caller, Price, Reply

if TYPE_CHECKING:
    from comporta.app.simulating.report import Report

#: Who asks when nobody else is named: the program that holds the gate.
PYTHON = Caller(key_id="python", name="python", admin=True)
_CHAT = OpenAIChat()
_EMBEDDINGS = OpenAIEmbeddings()

Messages = str | Sequence[Mapping[str, Any]]


class Asks:
    """The part of a gate that programs use; `Gate` fills what stands here without a value."""

    chaining: Chaining
    database: Database
    folder: Folder
    ensembling: Ensembling
    checking: Checking
    judged: Feedback
    known: Known
    loaded: Loaded[Settings]
    metering: Metering
    pipeline: Next
    registered: RegisteredModels
    tasking: Tasking
    sparing: Sparing
    telemetry: Telemetry
    _given_s: dict[str, float]

    def call(
        self, messages: Messages = (), model: str | None = None, *, caller: Caller = PYTHON,
        timeout_s: float | None = None, **params: Any,
    ) -> Call:  # fmt: skip
        """A chat call, not yet asked: for `ask` and `stream`. `params` are those of OpenAI's chat completions.

        With `prompt={"id": "support", "variables": {…}}` messages and model may be left to the prompt; else the model
        is `default`.
        `timeout_s` bounds the whole call, where the route's own limit is not shorter. Raises BadRequest, naming the
        field, for what is wrong.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if model is None and not params.get("prompt"):
            model = DEFAULT_ROUTE
        return self._chat_call({"model": model, "messages": messages, **params}, caller, timeout_s)

    def _chat_call(self, body: JSON, caller: Caller = PYTHON, timeout_s: float | None = None) -> Call:
        call = _call(_CHAT, body, caller)
        given_s = self._given_s.get(call.model) if timeout_s is None else timeout_s
        if given_s is not None:
            call.facts[GIVEN_S] = _positive(given_s)
        return call

    async def chat(self, messages: Messages = (), model: str | None = None, **params: Any) -> Reply:
        """The whole reply; `.text` is its text. Raises ComportaError."""
        return await self.ask(self.call(messages, model, **params))

    def stream(self, messages: Messages = (), model: str | None = None, **params: Any) -> Streamed:
        """The events of the answer as they come: `async for event in gate.stream(…)`."""
        return Streamed(self.pipeline, self.call(messages, model, stream=True, **params))

    async def feedback(self, *, caller: Caller = PYTHON, **said: Any) -> Taken:
        """Judge an answer: `await gate.feedback(completion_id=reply.id, thumbs="up", comment="Just right")`.

        The fields are those of `POST /v1/feedback`. It is kept when this returns, even with the database away. Raises
        ComportaError.
        """
        return await self.judged.take(said, caller)

    async def guard(self, text: str | None = None, *, caller: Caller = PYTHON, **more: Any) -> Checked:
        """What the guards say of a text, or of `messages`; no model is asked.

        `side` is `input` or `output`; `policy` names a policy and `guards` lists guards in place of the configuration's
        own; further fields are those of `POST /v1/guard`. Raises BadRequest, and GuardFailed where a guard that lets
        nothing through unseen could not say.
        """
        return await self.checking.said(more if text is None else {"input": text, **more}, caller)

    async def embed(self, texts: str | Sequence[str], model: str, **params: Any) -> list[tuple[float, ...]]:
        """A vector per text, in order. Raises ComportaError."""
        call = _call(_EMBEDDINGS, {"model": model, "input": texts, "encoding_format": "float", **params}, PYTHON)
        written = _EMBEDDINGS.reply(call, await self.ask(call))
        return [tuple(row["embedding"]) for row in msgspec.json.decode(written)["data"]]

    async def ask(self, call: Call) -> Reply:
        """The reply to any call. Raises ComportaError; the record is written either way."""
        return await ask(self.pipeline, call)

    async def batch(
        self, items: Sequence[Messages | JSON], model: str = "default", *, concurrency: int = 5, progress: bool = True,
        together: int | None = None, **params: Any,
    ) -> list[Reply | ComportaError]:  # fmt: skip
        """Replies in the order of the items; a failed one is its error and does not sink the rest.

        An item is a text, a list of messages, or a whole body. In a terminal a progress bar shows how far it is.
        `together` asks up to so many short questions of the same instructions in one call (default: as the route says,
        else each by itself); one whose answer can't be told apart is asked alone.
        """
        section = self.known.settings.routes.get(model)
        wanted = section.together if together is None and section is not None else together
        if wanted is None or most(wanted) == 1:
            return await batch(lambda item: self._item(item, model, params), items, concurrency, progress)
        questions = [question_of(item, model, params) for item in items]
        asking = Together(self._chat_of, self.ask, lambda at: self._item(items[at], model, params))

        async def group(places: Sequence[int]) -> list[Reply | ComportaError]:
            found = [question for at in places if (question := questions[at]) is not None]
            return await asking.answers(places, found)

        places = groups(questions, wanted)
        return flattened(places, iter(await batch(group, places, concurrency, progress)), len(items))

    def _chat_of(self, body: JSON) -> Call:
        timeout_s = body.pop("timeout_s", None)
        return self._chat_call(body, timeout_s=timeout_s)

    def count_tokens(self, text: str, model: str = DEFAULT_ROUTE) -> Count:
        """How many tokens a text is for a route or model: by its tokenizer's table where that is at hand, else about.

        Without what stands around messages. `.exact` and `.by` say how it is known.
        """
        route = self.known.route(model)
        return self.sparing.counter.count(text, route.variants[0].model or model if route is not None else model)

    async def _item(self, item: Messages | JSON, model: str, params: JSON) -> Reply:
        if isinstance(item, Mapping):
            return await self.ask(self._chat_call({"model": model, **params, **item}))
        return await self.chat(item, model, **params)

    def chain(self, chain: Chain | str) -> Runner:
        """A chain to run: one of the folder by its name, or the program's own, then known here as `chain:name`.

        Raises ConfigError, BadRequest or Conflict for one that can't be taken, NotFound for a name that is none.
        """
        if isinstance(chain, str):
            return Runner(self.chaining.get(chain), self.call, self.pipeline)
        whole, chained = self.chaining.adding(chain)
        self.known = self._build(self.loaded, chained)
        self.chaining.keep(whole, chained)
        return Runner(whole, self.call, self.pipeline)

    def ensemble(self, name: str, members: Sequence[str | JSON], **more: Any) -> None:
        """Several models that answer together, known here as the model `name`: `await gate.chat("…", name)`.

        `more` are the other keys of a variant's `ensemble`: `strategy`, `prefer`, `judge`, `threshold` … Raises
        BadRequest that says what is wrong, Conflict where the configuration has something of that name.
        """
        if name in self.known.routes and name not in self.ensembling.now().own:
            raise Conflict(f"There is a route, a model or a chain '{name}' already.", param="name")
        known = self.known
        made = self.ensembling.made(
            name, {**more, "members": list(members)},
            lambda model: known.route(model) is not None or known.provider(model.partition("/")[0]),
        )  # fmt: skip
        self.ensembling.keep(made)
        self.known = self._build(self.loaded)

    # ---- which model ----

    def select_model(
        self, task: str | None = None, complexity: str = "medium", budget: str | float | int | None = None, *,
        required: Sequence[str] = (), strategy: str | None = None,
    ) -> Selected:  # fmt: skip
        """The model for calls of a task, `low`, `medium` or `high` in complexity, within dollars for a call.

        By the configured strategy where one has the task, else by prices and capabilities. Raises BadRequest where no
        model fits.
        """
        return self.tasking.select(task, complexity, budget, required, strategy)

    def estimate_cost(self, prompt: str, model: str = DEFAULT_ROUTE, task: str | None = None) -> Estimate:
        """What a call is likely to cost, before it is asked. Raises NotFound for an unknown model, BadRequest."""
        return self.tasking.estimate(given_of(prompt), model, task)

    def explain_route(
        self, messages: Messages, model: str | None = None, task: str | None = None, **params: Any
    ) -> JSON:  # fmt: skip
        """Where a call would go, and why; no model is asked. Raises ComportaError as the call itself would."""
        call = self.call(messages, model, **params)
        if task is not None:
            call.headers[HEADER] = task
        return self.tasking.explain(call)

    async def simulate(
        self, policy: str | Path | None = None, *, begin: str | datetime.datetime = "7d",
        end: str | datetime.datetime | None = None, routes: Sequence[str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> Report:  # fmt: skip
        """What a policy would have saved on recorded calls, lever by lever; no model is asked.

        `policy` is a file in the words of `comporta.yaml`, over this gate's configuration; without one, that itself.
        `begin` is a window back from the end (`7d`), or a point in time. Raises ConfigError with a line for every
        mistake, BadRequest, Unavailable.
        """
        # Numbers and their library, which a gate that simulates nothing should not pay for: the one marked place.
        from comporta.app.simulating.recorded_traffic import policy_over, simulate_recorded, window_of  # noqa: PLC0415

        config = next((one for one in self.loaded.files if one.suffix in (".yaml", ".yml")), None)
        await self._drain_all()
        return await simulate_recorded(
            self.database, policy_over(policy, config), window_of(begin, end, routes), self.folder.cache, progress
        )

    def routed_models(self) -> list[JSON]:
        """The models that routes lead to, with facts and this process's live figures."""
        return self.tasking.models()

    async def register_model(
        self, name: str, model: str, *, price: Price | None = None, params: JSON | None = None,
        timeout_s: float | None = None, by: str = "python",
    ) -> None:  # fmt: skip
        """Make `provider/model` known as `name`, in every worker within a second. Raises BadRequest, Conflict.

        `timeout_s` bounds the calls that this program makes by that name; others keep the provider's limits.
        """
        if name in self.known.settings.routes or name in self.known.settings.models:
            place = self.loaded.place(("routes" if name in self.known.settings.routes else "models", name))
            raise Conflict(f"'{name}' stands in {place.file}:{place.line} and is changed there.", param="name")
        provider, _, own_name = model.partition("/")
        if provider not in self.known.providers or not own_name:
            raise BadRequest(f"'{model}' is not `provider/model` of a configured provider.", param="model")
        model_row = RegisteredModel(name, provider, own_name, price=price, params=params or {}, source="python")
        given_s = None if timeout_s is None else _positive(timeout_s)
        await self.registered.put(model_row, by=by)
        self._given_s.pop(name, None)
        if given_s is not None:
            self._given_s[name] = given_s

    def add_credential(self, provider: str, secret: str, name: str = "python") -> None:
        """One more key for a provider, until this gate closes. Raises NotFound for an unknown provider."""
        self.known.add_credential(provider, name, secret)
        self._keep_secret([secret])

    def _build(self, loaded: Loaded[Settings], chained: Chained | None = None) -> Known:
        raise NotImplementedError

    def _keep_secret(self, secrets: Iterable[str]) -> None:
        raise NotImplementedError

    async def _drain_all(self) -> None:
        raise NotImplementedError


def _call(door: Door, body: JSON, caller: Caller) -> Call:
    try:
        written = msgspec.json.encode(body)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BadRequest(f"This can't be written as JSON ({type(error).__name__}): {error}.") from None
    return call_of("python", door.parse(written, {}), caller, {})


def _positive(timeout_s: float) -> float:
    if not timeout_s > 0:
        raise BadRequest("timeout_s must be more than 0 seconds.", param="timeout_s")
    return timeout_s
