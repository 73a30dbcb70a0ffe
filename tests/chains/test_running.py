"""Chains running: order, conditions, routes, branches, data, retries, time, failures, and the sum of it all."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from msgspec import structs

from chains.faking import USAGE, Models, asking, events, run
from comporta.chains.running import Run
from comporta.chains.values import Chain, Parallel, Retry, Router, Step, StepResult
from comporta.errors import (
    BadRequest,
    BudgetExceeded,
    ComportaError,
    RateLimited,
    Unsupported,
    UpstreamFault,
    UpstreamTimeout,
)
from comporta.pipeline import Call
from comporta.prompts.prompt import Prompt
from comporta.prompts.values import Variable
from comporta.telemetry.record import PROMPTED
from comporta.types import Event, Image, Message, PromptRef, ResponseFormat, Text, Usage


def results(call: Call) -> list[StepResult]:
    found: Run = call.facts["chain"]
    return found.results


def statuses(call: Call) -> dict[str, str]:
    return {one.name: one.status for one in results(call)}


TWO = Chain("c", [Step("a", "First {input}", model="m"), Step("b", "Then {a}", model="n")])


async def test_each_step_knows_what_the_ones_before_it_said() -> None:
    models = Models()
    reply = await run(TWO, models)
    assert reply.text == "Then First Hello"
    assert models.asked == ["m: First Hello", "n: Then First Hello"]


async def test_usage_and_cost_are_the_sum_of_the_steps() -> None:
    call = asking()
    reply = await run(TWO, Models(), call)
    assert reply.usage == Usage(input=20, output=10)
    assert (call.usage, call.cost_microusd) == (Usage(input=20, output=10), 200)


async def test_while_it_is_recorded_a_chain_has_cost_nothing_itself() -> None:
    call = asking()
    seen: list[tuple[Usage | None, int | None]] = []
    call.at_end(lambda call: seen.append((call.usage, call.cost_microusd)))
    await run(TWO, Models(), call)
    assert seen == [(None, 0)]


async def test_a_variant_that_took_over_from_a_failed_chain_keeps_its_own_cost() -> None:
    call = asking()
    seen: list[int | None] = []
    call.at_end(lambda call: seen.append(call.cost_microusd))
    with pytest.raises(UpstreamFault):
        async for _ in events(TWO, Models(m=UpstreamFault("no")), call):
            pass
    assert call.target is not None
    call.target = call.target.__class__("support", "other", "openai", "gpt")
    call.usage, call.cost_microusd = USAGE, 7
    call.end()
    assert seen == [7] and call.cost_microusd == 7


async def test_steps_are_children_of_the_call_with_its_trace_caller_and_tags() -> None:
    call, models = asking(), Models()
    call.headers["cache-control"] = "no-store"
    await run(TWO, models, call)
    for child in models.calls:
        assert (child.trace_id, child.parent_id, child.depth) == (call.trace_id, call.id, 1)
        assert (child.caller.key_id, child.user, child.session, child.tags) == ("key", "ana", "s1", {"team": "x"})
        assert child.caller.allow == (), "who may ask the chain may ask what it asks"
        assert child.headers == {"cache-control": "no-store"}


async def test_a_span_for_each_step_says_what_it_came_to() -> None:
    call = asking()
    chain = Chain("c", [Step("a", "Say {input}", condition="false"), Step("b", "Say {input}", model="m")])
    await run(chain, Models(), call)
    skipped, ran = [span.attributes or {} for span in call.spans]
    assert skipped == {"step": "a", "status": "skipped"}
    assert (ran["step"], ran["status"], ran["model"], ran["tokens"], ran["cost_microusd"]) == ("b", "ok", "m", 15, 100)
    assert ran["call"] and call.spans[1].end_ns >= call.spans[1].start_ns


# ---- conditions, routes, branches -----------------------------------------------------------------------------------


async def test_a_step_whose_condition_does_not_hold_is_skipped_and_its_output_is_nothing() -> None:
    models, call = Models(), asking()
    chain = Chain("c", [Step("a", "One {input}", condition="'x' in input"), Step("b", "Two [{a}]")])
    assert (await run(chain, models, call)).text == "Two []"
    assert statuses(call) == {"a": "skipped", "b": "ok"}


async def test_where_the_last_step_is_skipped_the_one_before_it_answers() -> None:
    chain = Chain("c", [Step("a", "One {input}"), Step("b", "Two {a}", condition="len(a) > 100")])
    assert (await run(chain, Models())).text == "One Hello"


async def test_a_chain_of_which_nothing_ran_says_so() -> None:
    with pytest.raises(BadRequest, match="no condition held") as told:
        await run(Chain("c", [Step("a", "One {input}", condition="false")]), Models())
    assert told.value.code == "chain_no_answer"


async def test_a_condition_may_be_a_function_or_an_async_one() -> None:
    seen: list[Any] = []

    async def later(context: Any) -> bool:
        seen.append(dict(context))
        return bool(context["a"] == "One Hello")

    chain = Chain("c", [Step("a", "One {input}", "", lambda context: True), Step("b", "Two {a}", condition=later)])
    assert (await run(chain, Models())).text == "Two One Hello"
    assert seen[0]["input"] == "Hello" and seen[0]["b"] is None


async def test_a_function_can_not_change_what_the_chain_knows() -> None:
    def wrong(context: Any) -> bool:
        context["input"] = "else"
        return True

    with pytest.raises(ComportaError, match="step 'a': A function of the chain failed: TypeError") as told:
        await run(Chain("c", [Step("a", "One {input}", condition=wrong)]), Models())
    assert told.value.code == "chain_function"


async def test_a_condition_that_can_not_be_answered_names_step_and_expression() -> None:
    chain = Chain("c", [Step("a", "One {input}"), Step("b", "Two", condition="a > 3")])
    with pytest.raises(BadRequest, match="step 'b': The expression `a > 3` compares a text with a number"):
        await run(chain, Models())


ROUTED = Chain(
    "c",
    [
        Router(
            "triage",
            {
                "billing": [Step("bill", "Bill {input}"), Step("sum", "Sum {bill}", condition="triage == 'billing'")],
                "technical": Step("fix", "Fix {input}"),
            },
            "Where? {input}",
            model="decider",
            about={"billing": "money"},
        )
    ],
)


@pytest.mark.parametrize(("said", "text"), [("billing", "Sum Bill Hello"), ("**Technical**", "Fix Hello")])
async def test_a_router_takes_the_route_that_its_model_names(said: str, text: str) -> None:
    models = Models(decider=said)
    assert (await run(ROUTED, models)).text == text
    told = models.calls[0].input.messages[0]
    assert told.role == "system" and "- billing: money\n- technical" in told.text


async def test_a_decision_that_names_no_route_is_asked_again_and_then_a_failure() -> None:
    models = Models(decider=["perhaps", "technical"])
    chain = Chain("c", [Router("r", ROUTED.steps[0].routes, "Where? {input}", model="decider", retry=Retry(2, 0))])  # type: ignore[union-attr]
    assert (await run(chain, models)).text == "Fix Hello"
    assert "names none of the routes billing, technical" in models.calls[1].input.messages[-1].text
    with pytest.raises(ComportaError, match="step 'triage': The answer names none") as told:
        await run(ROUTED, Models(decider="the weather"))
    assert told.value.code == "chain_output_invalid"


async def test_a_default_route_is_taken_where_none_is_named() -> None:
    chain = Chain("c", [Router("r", {"a": [Step("x", "A")], "b": [Step("y", "B b")]}, "Where? {input}", default="b")])
    assert (await run(chain, Models(default=["eh", "{}"]))).text == "B b"


async def test_an_expression_may_decide_without_a_model() -> None:
    models = Models()
    chain = Chain("c", [Router("r", {"Hello": [Step("x", "A {r}")], "b": [Step("y", "B")]}, decide="input")])
    assert (await run(chain, models)).text == "A Hello"
    assert len(models.calls) == 1


async def test_parallel_steps_run_at_the_same_time_and_answer_together() -> None:
    both = asyncio.Barrier(2)

    async def meet(context: Any) -> bool:
        await asyncio.wait_for(both.wait(), 60)
        return True

    steps = [Step("a", "A {input}", condition=meet), Step("b", "B {input}", condition=meet)]
    call = asking()
    reply = await run(Chain("c", [Parallel(steps)]), Models(), call)
    assert reply.text == '{"a": "A Hello", "b": "B Hello"}'
    assert call.cost_microusd == 200


async def test_the_first_branch_that_fails_ends_the_others_and_says_which_it_was() -> None:
    models, call = Models(m=UpstreamFault("no")), asking()
    chain = Chain("c", [Parallel([Step("good", "x {input}", model="slow"), Step("bad", "x {input}", model="m")])])
    with pytest.raises(UpstreamFault, match="failed at its step 'bad'"):
        await run(chain, models, call)
    assert models.left == ["slow"]
    assert statuses(call) == {"bad": "failed", "good": "left"}


async def test_a_chain_says_which_output_is_its_answer() -> None:
    steps = [Step("a", "One {input}"), Step("b", "Two {input}")]
    assert (await run(Chain("c", steps, output="a"), Models())).text == "One Hello"
    assert (await run(Chain("c", steps, output="{b} / {a}"), Models())).text == "Two Hello / One Hello"


# ---- data -----------------------------------------------------------------------------------------------------------

KIND = {"type": "object", "properties": {"kind": {"enum": ["invoice", "letter"]}}, "required": ["kind"]}


async def test_data_is_read_checked_and_known_by_its_fields() -> None:
    second = Step("b", "It is {k}", condition="a.kind == 'letter'", variables={"k": "upper(a.kind)"})
    chain = Chain("c", [Step("a", "What is {input}?", schema=KIND, model="m"), second])
    models = Models(m='```json\n{"kind": "letter"}\n```')
    assert (await run(chain, models)).text == "It is LETTER"
    assert '"enum": ["invoice", "letter"]' in models.calls[0].input.messages[0].text


async def test_data_that_does_not_fit_gets_a_second_chance_with_the_reason() -> None:
    models, call = Models(m=['{"kind": "bill"}', '{"kind": "invoice"}']), asking()
    await run(Chain("c", [Step("a", "What is {input}?", schema=KIND, model="m"), Step("b", "x {a}")]), models, call)
    repair = models.calls[1].input.messages
    assert repair[-2].role == "assistant" and "$.kind breaks the rule 'enum'" in repair[-1].text
    assert results(call)[0].attempts == 2 and results(call)[0].cost_microusd == 200


async def test_data_that_never_fits_is_a_failure_of_its_step() -> None:
    with pytest.raises(ComportaError, match="step 'a': The answer is no JSON"):
        await run(Chain("c", [Step("a", "x {input}", output="json", model="m")]), Models(m="none"))


async def test_a_schema_goes_along_where_that_is_wished() -> None:
    models = Models(m='{"kind": "letter"}')
    await run(Chain("c", [Step("a", "x {input}", schema=KIND, send_schema=True, model="m")]), models)
    assert models.calls[0].input.response_format == ResponseFormat("json_schema", name="a", schema=KIND)
    assert [message.role for message in models.calls[0].input.messages] == ["user"]


async def test_a_last_step_with_data_answers_only_once_it_is_checked() -> None:
    call = asking(stream=True)
    said = [event async for event in events(Chain("c", [Step("a", "x x", output="json", model="m")]),
                                            Models(m=["BREAK", '{"ok": true}']), call)]  # fmt: skip
    assert "".join(delta.text for event in said for delta in event.deltas) == '{"ok": true}'


# ---- prompts --------------------------------------------------------------------------------------------------------

SUPPORT = Prompt(id="support", version="2.3.1", system_prompt="Help with {topic}.", model="m", temperature=0.5,
                 variables=(Variable("topic"), Variable("count", "number", required=False)))  # fmt: skip


async def test_a_prompt_of_the_registry_is_asked_with_its_model_and_parameters_and_recorded() -> None:
    models = Models()
    models.prompts["support"] = SUPPORT
    step = Step("a", "support@2.3.1", variables={"topic": "lower(input)", "count": "'3'"}, params={"top_p": 0.1})
    await run(Chain("c", [step]), models, asking(max_tokens=50, temperature=0.9))
    (child,) = models.calls
    assert child.model == "m"
    assert [message.text for message in child.input.messages] == ["Help with hello.", "Hello"]
    assert (child.input.temperature, child.input.top_p, child.input.max_tokens) == (0.9, 0.1, 50)
    prompted = child.facts[PROMPTED]
    assert (prompted.id, prompted.version, prompted.label) == ("support", "2.3.1", "production")
    assert prompted.variables == {"topic": "hello", "count": 3.0} and prompted.deploy == {"commit_sha": "abc"}
    assert models.found == [(PromptRef("support", "2.3.1"), "staging")]


async def test_a_run_finishes_on_the_version_it_began_with() -> None:
    models = Models()
    models.prompts["support"] = SUPPORT
    steps = [Step("a", "support", variables={"topic": "input"}), Step("b", "support", variables={"topic": "a"})]
    await run(Chain("c", steps), models)
    assert len(models.found) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_the_guards_and_the_time_limit_of_a_registrys_prompt_hold_in_a_chain(stream: bool) -> None:
    models = Models()
    models.prompts["support"] = structs.replace(SUPPORT, timeout_s=2.5)
    chain = Chain("c", [Step("a", "Say {input}", model="m"), Step("b", "support", variables={"topic": "a"})])
    await run(chain, models, asking(stream=stream))
    assert models.guarded == [("m", "support@2.3.1")]
    free, bound = models.within_s
    assert free > 9 and bound == 2.5


async def test_a_missing_prompt_and_a_missing_value_name_the_step() -> None:
    models = Models()
    with pytest.raises(ComportaError, match="step 'a': There is no prompt 'support'") as told:
        await run(Chain("c", [Step("a", "support")]), models)
    assert told.value.status == 404
    models.prompts["support"] = SUPPORT
    with pytest.raises(BadRequest, match=r"step 'a': prompt support@2.3.1: variable topic is missing"):
        await run(Chain("c", [Step("a", "support")]), models)


async def test_values_never_become_placeholders() -> None:
    models = Models()
    await run(Chain("c", [Step("a", "Say {input}"), Step("b", "And {a} {input}")]), models, asking("{a} {{input}}"))
    assert models.asked[1] == "default: And Say {a} {{input}} {a} {{input}}"


async def test_variables_are_checked_and_unknown_ones_refused() -> None:
    chain = Chain("c", [Step("a", "Say {name} {n}")],
                  variables=(Variable("name"), Variable("n", "number", required=False, default=2)))  # fmt: skip
    assert (await run(chain, Models(), asking(extra={"variables": {"name": "Ana"}}))).text == "Say Ana 2"
    for given, why in (
        ({}, "variable name is missing"),
        ({"name": "a", "n": "x"}, "variable n must be a number"),
        ({"nmae": "a"}, "no variable nmae; did you mean 'name'"),
        ("Ana", "must be an object"),
    ):
        with pytest.raises(BadRequest, match=why):
            await run(chain, Models(), asking(extra={"variables": given}))


async def test_a_value_that_no_variable_is_for_goes_to_prompts_of_the_registry_and_never_in_place_of_an_output() -> (
    None
):
    models = Models()
    models.prompts["support"] = SUPPORT
    chain = Chain("c", [Step("a", "support"), Step("b", "Then {a}", condition="false")])
    await run(chain, models, asking(extra={"variables": {"topic": "bills"}}))
    assert models.calls[0].input.messages[0].text == "Help with bills."
    for name in ("a", "input"):
        with pytest.raises(BadRequest, match=f"gives {name} itself"):
            await run(chain, models, asking(extra={"variables": {"topic": "x", name: "spoofed"}}))


async def test_a_step_that_asks_a_chain_gives_it_its_variables() -> None:
    models = Models()
    step = Step("a", "Say {input}", model="chain:other", variables={"who": "upper(input)"})
    await run(Chain("c", [step]), models)
    assert models.calls[0].input.extra == {"variables": {"who": "HELLO"}}


async def test_history_and_images_go_to_the_steps_that_want_them() -> None:
    talk = (Message("user", (Text("Earlier"),)), Message("assistant", (Text("Yes"),)))
    models = Models()
    chain = Chain("c", [Step("a", "A {input}", history=True), Step("b", "B {a}", attach=True)])
    call = asking(history=talk)
    call.input = call.input.edit(messages=(*talk, Message("user", (Text("Look"), Image(url="http://x/y.png")))))
    await run(chain, models, call)
    assert [message.text for message in models.calls[0].input.messages] == ["Earlier", "Yes", "A Look"]
    assert models.calls[1].input.messages[-1].parts == (Text("B A Look"), Image(url="http://x/y.png"))
    with pytest.raises(Unsupported, match="No step of the chain 'c' takes images"):
        await run(TWO, Models(), call)


@pytest.mark.parametrize(
    "field",
    [{"n": 2}, {"logprobs": True}, {"modalities": ("audio",)}, {"response_format": ResponseFormat("json_object")}],
)
async def test_what_a_chain_can_not_do_is_refused_and_named(field: dict[str, Any]) -> None:
    with pytest.raises(Unsupported) as told:
        await run(TWO, Models(), asking(**field))
    assert told.value.param == next(iter(field))


# ---- failures, retries, time ----------------------------------------------------------------------------------------


async def test_a_failure_says_which_step_and_keeps_what_came_before() -> None:
    call = asking()
    with pytest.raises(BudgetExceeded) as told:
        await run(TWO, Models(n=BudgetExceeded("Used up.")), call)
    assert told.value.message == "The chain 'c' failed at its step 'b': Used up."
    assert (told.value.status, told.value.code) == (402, "budget_exceeded")
    details = told.value.details or {}
    assert (details["chain"], details["step"]) == ("c", "b")
    assert [(one["step"], one["status"], one.get("output")) for one in details["steps"]] == [
        ("a", "ok", "First Hello"), ("b", "failed", None),
    ]  # fmt: skip
    assert call.cost_microusd == 100, "what was done was paid for"


async def test_what_an_error_tells_of_earlier_outputs_is_bounded() -> None:
    steps = [Step(f"s{at}", "x {input}", model="m") for at in range(10)]
    with pytest.raises(ComportaError) as told:
        await run(Chain("c", [*steps, Step("z", "x x", model="n")]), Models(m="w" * 100_000, n=UpstreamFault("no")))
    assert len(str(told.value.details)) < 30_000


async def test_a_step_is_asked_again_where_that_can_help() -> None:
    models, call = Models(m=[UpstreamFault("no"), RateLimited("wait", retry_after_s=0.01), "yes"]), asking()
    step = Step("a", "x {input}", model="m", retry=Retry(3, 0))
    assert (await run(Chain("c", [step]), models, call)).text == "yes"
    assert results(call)[0].attempts == 3


async def test_a_refusal_is_not_asked_again() -> None:
    models = Models(m=[BadRequest("no"), "yes"])
    with pytest.raises(BadRequest):
        await run(Chain("c", [Step("a", "x {input}", model="m", retry=Retry(3, 0))]), models)
    assert len(models.calls) == 1


async def test_a_step_that_takes_too_long_is_ended_and_named() -> None:
    models = Models()
    chain = Chain("c", [Step("a", "x {input}", model="slow", timeout_s=0.05), Step("b", "y y")])
    with pytest.raises(UpstreamTimeout, match=r"step 'a': Not done within 0.05 s") as told:
        await run(chain, models)
    assert told.value.code == "total_timeout" and models.left == ["slow"]
    assert models.within_s[0] <= 0.05


async def test_the_whole_chain_has_one_deadline() -> None:
    chain = Chain("c", [Step("a", "x {input}"), Step("b", "y y", model="slow", timeout_s=60)], timeout_s=0.05)
    with pytest.raises(UpstreamTimeout, match="step 'b': The time of the whole chain was over"):
        await run(chain, Models())
    with pytest.raises(UpstreamTimeout, match="step 'a'"):
        await run(Chain("c", [Step("a", "x {input}", model="slow")]), Models(), total_s=0.05)


async def test_a_client_that_leaves_ends_the_running_steps() -> None:
    models, call = Models(), asking()
    running = asyncio.create_task(run(Chain("c", [Step("a", "x {input}", model="slow")]), models, call))
    while not models.calls:  # noqa: ASYNC110 (a fake, which tells nobody)
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert models.left == ["slow"] and statuses(call) == {"a": "left"}


async def test_a_chain_more_than_four_calls_deep_is_refused() -> None:
    with pytest.raises(BadRequest, match="at most 4") as told:
        await run(TWO, Models(), asking(depth=4))
    assert told.value.code == "chain_too_deep"
    assert (await run(TWO, Models(), asking(depth=3))).text


# ---- streams --------------------------------------------------------------------------------------------------------


async def test_the_last_step_is_streamed_as_it_comes_with_the_usage_of_all() -> None:
    call, models = asking(stream=True), Models(n="one two")
    said = [event async for event in events(TWO, models, call)]
    assert [delta.text for event in said for delta in event.deltas] == ["one ", "two ", ""]
    assert said[-1].usage == Usage(input=20, output=10)
    assert [child.stream for child in models.calls] == [False, True]
    call.end()
    assert call.cost_microusd == 200


async def test_the_first_word_goes_out_before_the_last_one_is_said() -> None:
    async with aclosing(events(TWO, Models(n="one HANG"), asking(stream=True))) as answer:  # type: ignore[type-var]
        first = await asyncio.wait_for(anext(answer), 60)
    assert isinstance(first, Event) and first.deltas[0].text == "one "


async def test_a_stream_of_a_route_is_the_last_step_of_that_route() -> None:
    models = Models(decider="technical", default="one two")
    said = [event async for event in events(ROUTED, models, asking(stream=True))]
    assert [child.stream for child in models.calls] == [False, True]
    assert len(said) == 3


async def test_an_answer_that_is_no_single_step_is_streamed_in_one_piece() -> None:
    chain = Chain("c", [Step("a", "A {input}"), Step("b", "B", condition="false")])
    said = [event async for event in events(chain, Models(), asking(stream=True))]
    assert [delta.text for event in said for delta in event.deltas] == ["A Hello", ""]
    assert said[-1].usage == USAGE and said[-1].last


async def test_a_stream_is_asked_again_until_its_first_word_and_never_after() -> None:
    models = Models(m=[UpstreamFault("no"), "one BREAK"])
    answer = events(Chain("c", [Step("a", "x x", model="m", retry=Retry(3, 0))]), models, asking(stream=True))
    assert (await anext(answer)).deltas[0].text == "one "
    with pytest.raises(ComportaError, match="step 'a': Broken off"):
        await anext(answer)
    assert len(models.calls) == 2


async def test_a_stream_that_is_left_ends_its_step_and_is_still_paid_for() -> None:
    models, call = Models(n="one two three"), asking(stream=True)
    answer = events(TWO, models, call)
    await anext(answer)
    await answer.aclose()  # type: ignore[attr-defined]
    call.end()
    assert models.left == ["n"] and call.cost_microusd == 200
    assert statuses(call) == {"a": "ok", "b": "left"}


async def test_a_stream_that_falls_silent_is_ended_at_the_steps_limit() -> None:
    chain = Chain("c", [Step("a", "x x", model="m", timeout_s=0.05)])
    answer = events(chain, Models(m="one HANG"), asking(stream=True))
    await anext(answer)
    with pytest.raises(UpstreamTimeout, match=r"Not done within 0.05 s"):
        await anext(answer)


# ---- in Python ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Chain("a b", [Step("a", "x y")]), "a chain's name"),
        (lambda: Chain("c", []), "has no steps"),
        (lambda: Step("", "x y"), "the name of a step"),
        (lambda: Step("a"), "needs a prompt"),
        (lambda: Step("a", "x {{y}}"), "jinja"),
        (lambda: Step("a", "x y", "1"), "output_key"),
        (lambda: Step("a", "x y", condition="("), "is no expression"),
        (lambda: Step("a", "x y", timeout_s=0), "more than 0"),
        (lambda: Step("a", "x y", timeout_s=float("nan")), "more than 0"),
        (lambda: Router("r", {"a": "openai/x"}, "Where?"), "must be steps, or the name of a chain"),
        (lambda: Router("r", {}, "Where to?"), "has no routes"),
        (lambda: Router("r", {"a": []}, "Where to?"), "has no steps"),
        (lambda: Parallel([]), "has no steps"),
    ],
)
def test_what_is_no_chain_is_refused_when_it_is_made(make: Any, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        make()


def test_a_chain_within_a_router_is_one_of_its_routes() -> None:
    router = Router("r", {"a": TWO, "b": "chain:other"}, "Where to?")
    assert [step.name for step in router.routes["a"]] == ["a", "b"]
    assert router.routes["b"][0].model == "chain:other"
