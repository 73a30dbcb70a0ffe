"""Calls that ask with prompts of the registry: whose prompt, in which version, with what of the body's own words."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import msgspec
import pytest

from comporta.cache.key import key_of
from comporta.errors import BadRequest, Forbidden, NotFound, Unsupported, UpstreamFault
from comporta.gateway.answering import call_of
from comporta.gateway.attempts import DEADLINE
from comporta.gateway.doors.anthropic_messages import AnthropicMessages
from comporta.gateway.doors.base import Door
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.doors.openai_completions import OpenAICompletions
from comporta.gateway.doors.openai_embeddings import OpenAIEmbeddings
from comporta.gateway.doors.openai_responses import OpenAIResponses
from comporta.gateway.fallback import Choose
from comporta.gateway.prompting import GUARDS, Prompting
from comporta.gateway.reach import with_defaults
from comporta.pipeline import Call, Next, Only, compose, replay
from comporta.prompts.folder import load_bytes
from comporta.prompts.prompt import Prompt
from comporta.prompts.refs import PRODUCTION, ref_of
from comporta.routing.choose import Route, Variant
from comporta.telemetry.record import PROMPTED, Prompted, record_of
from comporta.types import Caller, Delta, Event, Image, Message, PromptRef, Text

CHAT, RESPONSES, MESSAGES = OpenAIChat(), OpenAIResponses(), AnthropicMessages()

SUPPORT = """
id: support
version: {version}
model: openai/gpt-{version}
temperature: 0.2
max_tokens: 300
system_prompt: "You help at {{company}} ({version})."
user_prompt_template: "{{question}}"
variables:
  - {{name: company, default: Acme}}
  - {{name: question, validation: "string, max 20 chars", sanitization: prevent_injection}}
"""
BARE = "id: bare\nversion: 1.0.0\nsystem_prompt: Be brief.\n"


class Moved(msgspec.Struct):
    version: str
    tags: dict[str, str]


class Registry:
    """Prompts by version, and labels; what is in `cold` must be fetched."""

    def __init__(self, *files: str) -> None:
        found = [prompt for file in files for prompt in load_bytes(file.encode(), "a.yaml")]
        self.prompts = {(one.id, one.version): one for one in found}
        self.labels: dict[tuple[str, str], Moved] = {}
        self.cold: set[str] = set()
        self.fetched: list[PromptRef] = []

    def resolve(self, ref: PromptRef, environment: str | None) -> Prompt | None:
        return None if ref.id in self.cold else self._found(ref, environment)

    async def fetch(self, ref: PromptRef, environment: str | None) -> Prompt:
        self.fetched.append(ref)
        return self._found(ref, environment)

    def label(self, id: str, environment: str) -> Moved | None:
        return self.labels.get((id, environment))

    def _found(self, ref: PromptRef, environment: str | None) -> Prompt:
        moved = self.labels.get((ref.id, ref.label or environment or PRODUCTION))
        version = ref.version or (moved.version if moved else "")
        if (ref.id, version) not in self.prompts:
            raise NotFound(f"there is no prompt {ref.id}", code="prompt_not_found")
        return self.prompts[ref.id, version]


class Known:
    def __init__(self, *routes: Route) -> None:
        self.routes = {route.name: route for route in routes}

    def route(self, name: str) -> Route | None:
        return self.routes.get(name)

    def provider(self, name: str) -> bool:
        return name in ("openai", "anthropic")

    def offering(self, model: str) -> tuple[str, ...]:
        return ()

    def names(self) -> Iterable[str]:
        return self.routes


class Upstream:
    """The last step: notes what it is asked and answers, or fails as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.calls: list[tuple[Any, Any]] = []
        self.failures = list(failures)

    async def __call__(self, call: Call) -> AsyncIterator[Event]:
        self.calls.append((call.target, call.input))
        if self.failures:
            raise self.failures.pop(0)
        return replay([Event((Delta(text="Yes.", finish="stop"),), whole=True, last=True)])


@pytest.fixture
def registry() -> Registry:
    made = Registry(SUPPORT.format(version="1.0.0"), SUPPORT.format(version="2.0.0"), BARE)
    tags = {"commit_sha": "abc1234", "author": "ana", "model_version": "gpt-1"}
    made.labels = {("support", PRODUCTION): Moved("1.0.0", tags), ("support", "staging"): Moved("2.0.0", {})}
    return made


Run = Callable[..., Any]


@pytest.fixture
def run(registry: Registry) -> Run:
    """Send a body through `model`, `choose` and `prompt`; gives the call and what the upstream was asked."""

    async def sent(
        body: Mapping[str, Any], *routes: Route, door: Door = CHAT, caller: Caller | None = None,
        upstream: Upstream | None = None, before: Callable[[Call], None] = lambda call: None,
    ) -> tuple[Call, Upstream]:  # fmt: skip
        known, upstream = Known(*routes), upstream or Upstream()
        prompting = Prompting(registry, lambda: known)
        call = call_of(door.name, door.parse(msgspec.json.encode(body), {}), caller or Caller("k"), {})
        before(call)
        stages: list[tuple[str, Any]] = [
            ("model", Only(prompting.nameless, prompting.name)),
            ("choose", Choose(lambda: known, lambda route: 100.0, lambda target: False)),
            ("prompt", Only(prompting.applies, prompting.stage)),
        ]
        await compose(stages, upstream)(call)
        return call, upstream

    return sent


def texts(input: Any) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in input.messages]


def support(**more: Any) -> dict[str, Any]:
    return {"prompt": {"id": "support", "variables": {"question": "Where?"}, **more}}


FENCED = "Where?"


# ---- whose prompt ---------------------------------------------------------------------------------------------------


async def test_a_prompt_in_the_body_says_model_turns_and_parameters(run: Run) -> None:
    call, upstream = await run(support())
    ((target, input),) = upstream.calls
    assert (call.model, target.provider, target.model) == ("openai/gpt-1.0.0", "openai", "gpt-1.0.0")
    assert [role for role, _ in texts(input)] == ["system", "user"]
    assert texts(input)[0] == ("system", "You help at Acme (1.0.0).") and FENCED in texts(input)[1][1]
    asked = with_defaults(input, target.params)
    assert (asked.temperature, asked.max_tokens) == (0.2, 300)
    assert input.extra == {} and input.raw is None


@pytest.mark.parametrize(
    ("said", "environment", "version"),
    [
        ({"version": "2.0.0"}, None, "2.0.0"), ({"label": "staging"}, None, "2.0.0"), ({}, "staging", "2.0.0"),
        ({}, None, "1.0.0"), ({"label": "production"}, "staging", "1.0.0"),
    ],
)  # fmt: skip
async def test_version_label_and_the_keys_environment_lead_to_a_version(
    run: Run, said: dict[str, str], environment: str | None, version: str
) -> None:
    call, _ = await run(support(**said), caller=Caller("k", environment=environment))
    assert call.facts[PROMPTED].version == version
    assert dict(call.facts["headers"])["x-comporta-prompt"] == f"support@{version}"


async def test_an_id_may_carry_its_version(run: Run) -> None:
    call, _ = await run({"prompt": {"id": "support@2.0.0", "variables": {"question": "?"}}})
    assert call.facts[PROMPTED].version == "2.0.0" and call.facts[PROMPTED].label is None


@pytest.mark.parametrize(
    "prompt",
    [
        {"id": "support", "version": "1.0.0", "label": "staging"}, {"id": "support@1.0.0", "label": "staging"},
        {"version": "1.0.0"}, {"id": "support@"}, {"id": "no such id"},
    ],
)  # fmt: skip
async def test_a_reference_that_means_two_things_or_nothing_is_a_400(run: Run, prompt: dict[str, str]) -> None:
    with pytest.raises(BadRequest) as refused:
        await run({"model": "openai/m", "prompt": prompt})
    assert refused.value.code == "prompt_reference" and (refused.value.param or "").startswith("prompt.")


async def test_a_missing_label_is_a_404_and_never_another_one(run: Run) -> None:
    with pytest.raises(NotFound) as refused:
        await run(support(label="development"))
    assert refused.value.code == "prompt_not_found"


@pytest.mark.parametrize("prompt", [{"id": 7}, {"id": "support", "variables": []}, {"id": "support", "model": "x"}])
async def test_a_field_of_the_wrong_kind_is_named(run: Run, prompt: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        await run({"model": "openai/m", "prompt": prompt})
    assert (refused.value.param or "").startswith("prompt.")


@pytest.mark.parametrize("door", [CHAT, RESPONSES, MESSAGES], ids=lambda door: str(door.name))
@pytest.mark.parametrize("model", [{}, {"model": "openai/gpt-1"}], ids=["by the prompt", "named"])
async def test_a_mere_name_is_no_prompt_and_never_overlooked(run: Run, door: Door, model: dict[str, str]) -> None:
    body = {**model, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "input": "Hi"}
    with pytest.raises(BadRequest, match="prompt must be an object, not a string") as caught:
        await run({**body, "prompt": "support@1.0.0"}, door=door)
    assert caught.value.param == "prompt"


async def test_what_is_not_in_memory_is_fetched(run: Run, registry: Registry) -> None:
    registry.cold = {"support"}
    _, upstream = await run(support())
    assert len(upstream.calls) == 1 and registry.fetched == [PromptRef("support")]


async def test_a_prompt_that_openai_keeps_goes_on_untouched(run: Run) -> None:
    given = {"id": "pmpt_123", "version": "2", "variables": {"city": "Lisbon"}}
    _, upstream = await run({"model": "openai/m", "prompt": given, "input": "Hello"}, door=RESPONSES)
    ((_, input),) = upstream.calls
    assert input.raw["prompt"] == given and texts(input) == [("user", "Hello")]


# ---- variables ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ("question", "missing")), ({"question": "x" * 21}, ("question", "too long", "max_length")),
        ({"question": 5}, ("question", "text")),
    ],
)  # fmt: skip
async def test_a_wrong_value_names_prompt_variable_and_rule(
    run: Run, variables: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(BadRequest) as refused:
        await run({"prompt": {"id": "support", "variables": variables}})
    assert refused.value.code == "invalid_variable" and refused.value.param == "prompt.variables.question"
    assert all(word in refused.value.message for word in ("support@1.0.0", *words))


async def test_a_value_can_bring_no_template(run: Run) -> None:
    _, upstream = await run({"prompt": {"id": "support", "variables": {"question": "{company} {{x}}"}}})
    assert "{company} {{x}}" in texts(upstream.calls[0][1])[1][1]


async def test_values_as_openai_types_them_are_taken(run: Run, registry: Registry) -> None:
    file = "id: look\nversion: 1.0.0\nmodel: openai/m\nuser_prompt_template: '{what} {photo}'\nvariables:\n"
    file += "  - {name: what}\n  - {name: photo, type: image}\n"
    (prompt,) = load_bytes(file.encode(), "a.yaml")
    registry.prompts["look", "1.0.0"] = prompt
    values = {
        "what": {"type": "input_text", "text": "See"},
        "photo": {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
    }
    _, upstream = await run({"prompt": {"id": "look", "version": "1.0.0", "variables": values}})
    parts = upstream.calls[0][1].messages[0].parts
    assert Image(url="https://example.com/a.png", detail="low") in parts and parts[0] == Text("See")


async def test_values_that_no_variable_takes_are_told(run: Run) -> None:
    call, _ = await run({"prompt": {"id": "support", "variables": {"question": "?", "qestion": "!"}}})
    assert dict(call.facts["headers"])["x-comporta-unused-variables"] == "qestion"


# ---- the body's own words -------------------------------------------------------------------------------------------


async def test_messages_follow_the_prompts_turns_and_instructions_follow_its_own(run: Run) -> None:
    body = support() | {"messages": [{"role": "system", "content": "Rhyme."}, {"role": "user", "content": "And now?"}]}
    _, upstream = await run(body)
    assert [role for role, _ in texts(upstream.calls[0][1])] == ["system", "system", "user", "user"]
    assert texts(upstream.calls[0][1])[1] == ("system", "Rhyme.")
    assert texts(upstream.calls[0][1])[3] == ("user", "And now?")


async def test_messages_go_where_the_file_has_a_place_for_them(run: Run, registry: Registry) -> None:
    file = "id: talk\nversion: 1.0.0\nmodel: openai/m\nmessages:\n  - {role: system, content: Hi}\n  - history\n"
    file += "  - {role: user, content: Answer in Portuguese.}\n"
    (prompt,) = load_bytes(file.encode(), "a.yaml")
    registry.prompts["talk", "1.0.0"] = prompt
    body = {"prompt": {"id": "talk@1.0.0"}, "messages": [{"role": "user", "content": "Where?"}]}
    _, upstream = await run(body)
    assert texts(upstream.calls[0][1]) == [("system", "Hi"), ("user", "Where?"), ("user", "Answer in Portuguese.")]


async def test_parameters_of_the_body_win_over_the_variant_and_those_over_the_prompt(run: Run) -> None:
    route = Route("r", (Variant("v", "openai", "m", params={"temperature": 0.5, "seed": 1}, prompt=ref_of("support")),))
    body = {"model": "r", "max_tokens": 9, "prompt": {"variables": {"question": "?"}}}
    _, upstream = await run(body, route)
    target, input = upstream.calls[0]
    asked = with_defaults(input, target.params)
    assert (asked.max_tokens, asked.temperature, asked.seed) == (9, 0.5, 1)


async def test_tools_and_form_of_the_answer_come_from_the_prompt_unless_the_body_has_its_own(
    run: Run, registry: Registry
) -> None:
    file = """
id: form
version: 1.0.0
model: openai/m
system_prompt: Answer as JSON.
response_format: {type: object, properties: {ok: {type: boolean}}}
tools: [{name: look_up, description: Looks up, parameters: {type: object, properties: {}}}]
"""
    (prompt,) = load_bytes(file.encode(), "a.yaml")
    registry.prompts["form", "1.0.0"] = prompt
    asks = {"prompt": {"id": "form@1.0.0"}, "messages": [{"role": "user", "content": "?"}]}
    _, plain = await run(asks)
    assert plain.calls[0][1].response_format.kind == "json_schema"
    assert [tool.name for tool in plain.calls[0][1].tools] == ["look_up"]
    _, own = await run(asks | {"response_format": {"type": "text"}, "tools": [_tool("other")]})
    assert own.calls[0][1].response_format.kind == "text" and [t.name for t in own.calls[0][1].tools] == ["other"]
    _, native = await run({"prompt": {"id": "form@1.0.0"}, "input": "?"}, door=RESPONSES)
    raw: Any = native.calls[0][1].raw
    assert raw["text"]["format"]["type"] == "json_schema" and raw["tools"][0]["name"] == "look_up"


def _tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


async def test_a_responses_body_stays_a_responses_body(run: Run) -> None:
    """What only that API knows (an earlier response, its own tools) is then still sent to it."""
    body = support() | {"input": "And?", "previous_response_id": "resp_1", "instructions": "Rhyme."}
    _, upstream = await run(body, door=RESPONSES)
    _, input = upstream.calls[0]
    assert input.raw["previous_response_id"] == "resp_1" and "prompt" not in input.raw
    assert [item["role"] for item in input.raw["input"]] == ["system", "user", "user"]
    assert input.raw["input"][2]["content"] == "And?"
    assert [role for role, _ in texts(input)] == ["system", "system", "user", "user"]
    sent = with_defaults(input, upstream.calls[0][0].params).raw
    assert sent is not None and sent["max_output_tokens"] == 300


async def test_messages_take_the_limit_of_the_answer_from_the_prompt(run: Run) -> None:
    _, upstream = await run(support() | {"system": "Rhyme."}, door=MESSAGES)
    target, input = upstream.calls[0]
    assert with_defaults(input, target.params).max_tokens == 300
    assert texts(input)[1] == ("system", "Rhyme.")


@pytest.mark.parametrize("door", [CHAT, RESPONSES, MESSAGES])
async def test_without_a_prompt_model_and_messages_are_still_required(run: Run, door: Door) -> None:
    for body in ({"prompt": {"variables": {}}, "max_tokens": 5}, {"model": "openai/m"}):
        with pytest.raises(BadRequest):
            await run(body, door=door)


async def test_a_prompt_that_names_no_model_needs_one_in_the_body(run: Run) -> None:
    with pytest.raises(BadRequest) as refused:
        await run({"prompt": {"id": "bare", "version": "1.0.0"}, "messages": [{"role": "user", "content": "?"}]})
    assert refused.value.param == "model" and "bare@1.0.0" in refused.value.message
    _, upstream = await run({"model": "openai/m", "prompt": {"id": "bare", "version": "1.0.0"}})
    assert upstream.calls[0][0].model == "m"


# ---- routes ---------------------------------------------------------------------------------------------------------


def route(*variants: Variant, **more: Any) -> Route:
    return Route("r", variants, **more)


async def test_a_variant_that_names_a_prompt_needs_values_only(run: Run) -> None:
    found = route(Variant("support@2.0.0", "", "", prompt=ref_of("support@2.0.0")))
    call, upstream = await run({"model": "r", "prompt": {"variables": {"question": "Where?"}}}, found)
    target, input = upstream.calls[0]
    assert (target.provider, target.model, target.variant) == ("openai", "gpt-2.0.0", "support@2.0.0")
    assert texts(input)[0][1].endswith("(2.0.0).")
    assert call.facts[PROMPTED].label is None


async def test_a_variants_own_model_wins_over_the_prompts(run: Run) -> None:
    found = route(Variant("v", "anthropic", "claude", prompt=ref_of("support")))
    _, upstream = await run({"model": "r", **_values()}, found)
    assert (upstream.calls[0][0].provider, upstream.calls[0][0].model) == ("anthropic", "claude")


def _values() -> dict[str, Any]:
    return {"prompt": {"variables": {"question": "Where?"}}}


async def test_an_id_alone_gets_the_variants_version_and_a_version_wins_over_it(run: Run) -> None:
    found = route(Variant("v", "openai", "m", prompt=ref_of("support@2.0.0")))
    by_id, _ = await run({"model": "r", **support()}, found)
    by_version, _ = await run({"model": "r", **support(version="1.0.0")}, found)
    assert [by_id.facts[PROMPTED].version, by_version.facts[PROMPTED].version] == ["2.0.0", "1.0.0"]


async def test_another_variant_renders_its_own_prompt_from_what_the_client_sent(run: Run) -> None:
    found = route(
        Variant("a", "openai", "m", prompt=ref_of("support@1.0.0")),
        Variant("b", "anthropic", "claude", 0, prompt=ref_of("support@2.0.0")),
    )
    body = {"model": "r", **_values(), "messages": [{"role": "user", "content": "And?"}]}
    call, upstream = await run(body, found, upstream=Upstream(UpstreamFault("down")))
    first, second = (texts(input) for _, input in upstream.calls)
    assert first[0][1].endswith("(1.0.0).") and second[0][1].endswith("(2.0.0).")
    assert len(first) == len(second) == 3 and first[1:] == second[1:]
    assert call.facts[PROMPTED].version == "2.0.0"
    assert [v for n, v in call.facts["headers"] if n == "x-comporta-prompt"] == ["support@2.0.0"]


async def test_a_model_that_takes_over_without_a_prompt_of_its_own_asks_with_the_one_before(run: Run) -> None:
    found = route(Variant("a", "openai", "m", prompt=ref_of("support")), Variant("b", "anthropic", "claude", 0))
    _, upstream = await run({"model": "r", **_values()}, found, upstream=Upstream(UpstreamFault("down")))
    assert upstream.calls[1][0].provider == "anthropic" and upstream.calls[0][1] == upstream.calls[1][1]


async def test_a_move_of_the_label_in_between_changes_nothing_for_a_call_under_way(
    run: Run, registry: Registry
) -> None:
    class Moving(Upstream):
        async def __call__(self, call: Call) -> AsyncIterator[Event]:
            registry.labels["support", PRODUCTION] = Moved("2.0.0", {})
            return await super().__call__(call)

    found = route(
        Variant("a", "openai", "m", prompt=ref_of("support")),
        Variant("b", "anthropic", "c", 0, prompt=ref_of("support")),
    )
    call, upstream = await run({"model": "r", **_values()}, found, upstream=Moving(UpstreamFault("down")))
    assert len(upstream.calls) == 2 and call.facts[PROMPTED].version == "1.0.0"


async def test_a_variant_without_a_prompt_beside_others_gets_the_messages_alone(run: Run) -> None:
    found = route(Variant("plain", "openai", "m"), Variant("new", "openai", "m", 0, prompt=ref_of("support")))
    call, upstream = await run({"model": "r", **_values(), "messages": [{"role": "user", "content": "?"}]}, found)
    assert texts(upstream.calls[0][1]) == [("user", "?")] and upstream.calls[0][1].extra == {}
    assert PROMPTED not in call.facts


async def test_values_for_a_route_without_prompts_are_a_400(run: Run) -> None:
    with pytest.raises(BadRequest) as refused:
        await run({"model": "r", **_values()}, route(Variant("plain", "openai", "m")))
    assert refused.value.code == "prompt_reference" and refused.value.param == "prompt.id"


async def test_a_prompt_without_a_model_on_a_variant_without_one_is_told(run: Run) -> None:
    with pytest.raises(NotFound) as refused:
        await run({"model": "r"} | {"messages": [{"role": "user", "content": "?"}]},
                  route(Variant("v", "", "", prompt=ref_of("bare@1.0.0"))))  # fmt: skip
    assert refused.value.code == "model_not_found" and "bare@1.0.0" in refused.value.message


async def test_a_route_that_asks_with_prompts_answers_text_completions_and_has_no_embeddings(run: Run) -> None:
    found = route(Variant("v", "", "", prompt=ref_of("bare@1.0.0")))
    with pytest.raises(Unsupported):
        await run({"model": "r", "input": "x"}, found, door=OpenAIEmbeddings())
    with_model = route(Variant("v", "openai", "m", prompt=ref_of("bare@1.0.0")))
    _, upstream = await run({"model": "r", "prompt": "Once"}, with_model, door=OpenAICompletions())
    assert texts(upstream.calls[0][1]) == [("system", "Be brief."), ("user", "Once")]


# ---- keys, time, cache, record --------------------------------------------------------------------------------------


async def test_a_key_with_a_list_of_names_needs_the_prompt_on_it(run: Run) -> None:
    with pytest.raises(Forbidden) as refused:
        await run(support(), caller=Caller("k", allow=("openai/gpt-1.0.0",)))
    assert refused.value.code == "prompt_not_allowed"
    for names in (("openai/*", "prompt/support"), ("openai/*", "prompt/*")):
        await run(support(), caller=Caller("k", allow=names))
    # A route is its operator's choice of prompts.
    found = route(Variant("v", "openai", "m", prompt=ref_of("support")))
    await run({"model": "r", **_values()}, found, caller=Caller("k", allow=("r",)))


async def test_a_prompts_time_limit_holds_for_its_own_attempt(run: Run, registry: Registry) -> None:
    (slow,) = load_bytes(b"id: slow\nversion: 1.0.0\ntimeout: 5s\nsystem_prompt: Think.\n", "a.yaml")
    registry.prompts["slow", "1.0.0"] = slow
    left: list[float] = []

    class Timed(Upstream):
        async def __call__(self, call: Call) -> AsyncIterator[Event]:
            left.append(call.facts[DEADLINE] - time.monotonic())
            return await super().__call__(call)

    found = route(
        Variant("a", "openai", "m", prompt=ref_of("slow@1.0.0")),
        Variant("b", "openai", "n", 0, prompt=ref_of("bare@1.0.0")),
    )
    await run({"model": "r", "messages": []} | {"prompt": {"variables": {}}}, found, upstream=Timed(UpstreamFault("x")))
    assert left[0] < 5.1 and left[1] > 20


async def test_the_caches_key_holds_the_version(run: Run, registry: Registry) -> None:
    (same,) = load_bytes(b"id: bare\nversion: 1.0.1\nsystem_prompt: Be brief.\n", "a.yaml")
    registry.prompts["bare", "1.0.1"] = same

    async def key(version: str, question: str = "Where?") -> bytes | None:
        body = {"model": "openai/m", "prompt": {"id": "bare", "version": version}}
        call, _ = await run(body | {"messages": [{"role": "user", "content": question}]})
        return key_of(call)

    assert await key("1.0.0") == await key("1.0.0") is not None
    assert await key("1.0.0") != await key("1.0.1")
    assert await key("1.0.0") != await key("1.0.0", "Why?")


async def test_the_record_and_the_span_tell_prompt_label_and_the_deploys_tags(run: Run) -> None:
    call, _ = await run(support())
    tags = {"commit_sha": "abc1234", "author": "ana", "model_version": "gpt-1"}
    assert call.facts[PROMPTED] == Prompted("support", "1.0.0", "production", tags, {"question": "Where?"})
    record = record_of(call)
    assert (record.prompt_id, record.prompt_version, record.prompt_label) == ("support", "1.0.0", "production")
    assert record.deploy == tags and record.variables is None
    span = next(span for span in call.spans if span.name == "prompt")
    assert span.attributes == {"prompt": "support", "version": "1.0.0", "label": "production", **tags}


async def test_a_refused_value_is_recorded_with_the_prompt_that_refused_it(run: Run) -> None:
    calls: list[Call] = []
    with pytest.raises(BadRequest):
        await run({"prompt": {"id": "support", "variables": {}}}, before=calls.append)
    assert record_of(calls[0]).prompt_version == "1.0.0"


async def test_a_call_without_a_prompt_has_no_span_of_it_and_keeps_its_body(run: Run) -> None:
    call, upstream = await run({"model": "openai/m", "messages": [{"role": "user", "content": "?"}]})
    assert [span.name for span in call.spans] == ["choose"] and upstream.calls[0][1].raw is not None


async def test_a_stream_taken_up_again_goes_on_with_the_same_question(run: Run, registry: Registry) -> None:
    """After the first content another variant's prompt would answer another question."""
    found = route(
        Variant("a", "openai", "m", prompt=ref_of("support@1.0.0")),
        Variant("b", "", "", 0, prompt=ref_of("support@2.0.0")),
    )
    call, upstream = await run({"model": "r", **_values()}, found)
    known = Known(found)
    call.first_ns = 1
    call.input = asked = call.input.edit(messages=(*call.input.messages, Message("assistant", (Text("Yes"),))))
    call.target = msgspec.structs.replace(
        call.target, variant="b", provider="", model="", params={}, prompt=ref_of("support@2.0.0")
    )
    last: Next = upstream
    await Prompting(registry, lambda: known).stage(call, last)
    target, input = upstream.calls[-1]
    assert input is asked and target.model == "gpt-1.0.0" and target.params["max_tokens"] == 300
    assert call.facts[PROMPTED].version == "1.0.0"


async def test_the_guards_of_the_prompt_that_is_asked_with_are_handed_on(run: Run, registry: Registry) -> None:
    file = (
        b"id: kept\nversion: 1.0.0\nsystem_prompt: Hi.\nguardrails: {input: [{type: pii_detection, action: block}]}\n"
    )
    (kept,) = load_bytes(file, "a.yaml", guards=True)
    registry.prompts["kept", "1.0.0"] = kept
    found = route(
        Variant("a", "openai", "m", prompt=ref_of("kept@1.0.0")),
        Variant("b", "openai", "n", 0, prompt=ref_of("bare@1.0.0")),
    )
    body = {"model": "r", "messages": [{"role": "user", "content": "?"}]}
    call, _ = await run(body, found)
    assert call.facts[GUARDS] is kept.guardrails
    after, _ = await run(body, found, upstream=Upstream(UpstreamFault("down")))
    assert GUARDS not in after.facts
