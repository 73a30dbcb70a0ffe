"""Guards on a running gate: official SDKs hear them in their own words, and planted secrets lie nowhere."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from comporta.testing.servers import short_folder
from comporta.testing.upstream import Step
from support.serving import SECRETS, Fakes, Served
from support.talking import ask, chat, recorded, until

BIRD = "nightingale-4711"
CONFIG = """
providers:
  openai: {{base_url: "{openai}/v1", api_key: "${{OPENAI_API_KEY}}"}}
retry: {{attempts: 1}}
breaker: {{failures: 1000, share: 100%}}
logging: {{format: json}}
guardrails:
  policies:
    strict: {{input: [{{type: regex, pattern: forbidden, name: strict_words}}]}}
routes:
  blocked: {{model: openai/g, guardrails: {{input: [{{type: regex, pattern: "drop tables", name: no_sql}}, {bird}]}}}}
  refused:
    model: openai/g
    guardrails: {{input: [{{type: regex, pattern: "drop tables", name: no_sql}}], refusal: "I can't help with that."}}
  masked: {{model: openai/g, guardrails: {{input: [{bird}], unmask: true}}}}
  outgoing: {{model: openai/g, guardrails: {{output: [{{type: regex, pattern: "nightingale-[0-9]+", name: birds}}]}}}}
  observed:
    model: openai/g
    guardrails: {{output: [{{type: regex, pattern: "nightingale-[0-9]+", name: birds}}], stream: observe}}
  twice:
    variants: [{{model: openai/g1}}, {{model: openai/g2, weight: 0}}]
    guardrails: {{input: [{bird}], unmask: true}}
  cached: {{model: openai/g, cache: {{enabled: true}}{later}}}
  vectors: {{model: openai/text-embedding-3-small, guardrails: {{input: [{bird}]}}}}
  plain: {{model: openai/g}}
"""
_BIRD = '{type: regex, pattern: "nightingale-[0-9]+", label: BIRD, name: birds, action: mask}'
_LATER = ', guardrails: {output: [{type: regex, pattern: "old words", name: today}]}'


def written(fakes: Fakes, later: str = "") -> str:
    return CONFIG.format(openai=fakes.openai.url, bird=_BIRD, later=later)


@pytest.fixture(scope="module")
def guarded(fakes: Fakes) -> Iterator[Served]:
    with short_folder() as folder:
        served = Served(folder, written(fakes), SECRETS)
        served.start()
        yield served
        assert served.stop() == 0, served.output


def say(fakes: Fakes, *texts: str, **more: Any) -> None:
    fakes.openai.script(*(Step(text=text, **more) for text in texts))


def sent(fakes: Fakes) -> Any:
    return fakes.openai.seen[-1].json


@pytest.fixture
def client(guarded: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=guarded.key, max_retries=0) as made:
        yield made


@pytest.fixture
def claude(guarded: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=guarded.url, api_key=guarded.key, max_retries=0) as made:
        yield made


@pytest.mark.parametrize("stream", [False, True])
def test_a_block_is_the_sdks_own_error_with_its_code_and_no_model_is_asked(
    client: openai.OpenAI, claude: anthropic.Anthropic, fakes: Fakes, stream: bool
) -> None:
    before = len(fakes.openai.seen)
    messages: Any = [{"role": "user", "content": f"please drop tables for {BIRD}"}]
    with pytest.raises(openai.BadRequestError) as told:
        client.chat.completions.create(model="blocked", messages=messages, stream=stream)
    assert (told.value.code, told.value.param) == ("guardrail_blocked", "no_sql")
    assert BIRD not in str(told.value) and "drop tables" not in str(told.value)
    assert told.value.response.headers["x-comporta-guard"].startswith("no_sql=block")
    with pytest.raises(anthropic.BadRequestError) as heard:
        claude.messages.create(model="blocked", messages=messages, stream=stream, max_tokens=50)
    assert "no_sql" in str(heard.value)
    assert len(fakes.openai.seen) == before


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_a_reply_like_any_other(client: openai.OpenAI, claude: anthropic.Anthropic, stream: bool) -> None:
    messages: Any = [{"role": "user", "content": "drop tables"}]
    if stream:
        chunks = client.chat.completions.create(model="refused", messages=messages, stream=True)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    else:
        text = client.chat.completions.create(model="refused", messages=messages).choices[0].message.content or ""
    assert text == "I can't help with that."
    reply = claude.messages.create(model="refused", messages=messages, max_tokens=50)
    assert reply.content[0].type == "text" and reply.content[0].text == "I can't help with that."


@pytest.mark.parametrize("stream", [False, True])
def test_the_model_sees_masks_and_the_client_its_own_values(
    guarded: Served, client: openai.OpenAI, fakes: Fakes, stream: bool
) -> None:
    say(fakes, "Hello [BIRD_1], how are you, [BIRD_1]?")
    messages: Any = [{"role": "user", "content": f"I am {BIRD}."}]
    if stream:
        chunks = client.chat.completions.create(model="masked", messages=messages, stream=True)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    else:
        raw = client.chat.completions.with_raw_response.create(model="masked", messages=messages)
        assert raw.headers["x-comporta-guard"] == "birds=redact"
        text = raw.parse().choices[0].message.content or ""
        kept = recorded(guarded, raw.headers["x-comporta-call"])
        assert BIRD not in json.dumps(kept) and "Hello [BIRD_1]" in json.dumps(kept)
        assert any(v["guard"] == "birds" for s in kept["spans"] for v in (s["attributes"] or {}).get("verdicts", ()))
    assert text == f"Hello {BIRD}, how are you, {BIRD}?"
    assert sent(fakes)["messages"][-1]["content"] == "I am [BIRD_1]."


def test_a_block_in_mid_stream_is_an_error_frame_with_the_same_code(
    guarded: Served, client: openai.OpenAI, claude: anthropic.Anthropic, fakes: Fakes
) -> None:
    text = "All is well here, and nobody minds. " * 20 + BIRD + " is here."
    say(fakes, text, text, text)
    got = ""
    with pytest.raises(openai.APIError) as told:
        for chunk in client.chat.completions.create(
            model="outgoing", messages=[{"role": "user", "content": "x"}], stream=True
        ):
            got += chunk.choices[0].delta.content or "" if chunk.choices else ""
    assert told.value.code == "guardrail_blocked" and got.startswith("All is well") and "night" not in got
    heard = ""
    with (
        pytest.raises(anthropic.APIError) as also,
        claude.messages.stream(model="outgoing", messages=[{"role": "user", "content": "x"}], max_tokens=500) as answer,
    ):
        for piece in answer.text_stream:
            heard += piece
    assert "birds" in str(also.value) and heard.startswith("All is well") and "night" not in heard
    plain = chat(guarded, "outgoing")
    assert (plain.status, plain.json["error"]["code"]) == (400, "guardrail_blocked")


def test_what_is_only_watched_goes_out_and_is_told(guarded: Served, fakes: Fakes) -> None:
    say(fakes, f"See the {BIRD}.")
    answer = chat(guarded, "observed", stream=True)
    assert answer.status == 200
    pieces = [json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: {")]
    assert "".join(p["choices"][0]["delta"].get("content") or "" for p in pieces if p["choices"]) == f"See the {BIRD}."
    scores = until(
        lambda: [
            one for one in ask(guarded, f"/admin/scores?call={answer.call}").json["data"] if one["source"] == "guard"
        ]
    )
    assert [(one["name"], one["value"]) for one in scores] == [("guard.birds", "block")]


def test_a_fallback_keeps_the_guards(guarded: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(status=500), Step(text="Hello [BIRD_1]."))
    answer = chat(guarded, "twice", f"I am {BIRD}")
    assert answer.status == 200 and answer.text == f"Hello {BIRD}."
    assert [one.json["model"] for one in fakes.openai.seen[-2:]] == ["g1", "g2"]
    assert BIRD not in json.dumps([one.json for one in fakes.openai.seen[-2:]])


def test_texts_to_embed_are_masked_too(guarded: Served, fakes: Fakes) -> None:
    answer = ask(guarded, "/v1/embeddings", {"model": "vectors", "input": [f"I am {BIRD}", "all well"]})
    assert answer.status == 200, answer.body
    assert sent(fakes)["input"] == ["I am [BIRD]", "all well"]


def test_a_key_is_under_its_policy(guarded: Served) -> None:
    wrong = ask(guarded, "/admin/keys", {"name": "none", "guardrails": "nobody"})
    assert wrong.status == 400 and "there are default, strict" in wrong.json["error"]["message"]
    made = ask(guarded, "/admin/keys", {"name": "strict", "guardrails": "strict"})
    secret = made.json["secret"]
    blocked = until(lambda: (a := chat(guarded, "plain", "it is forbidden", key=secret)).status == 400 and a)
    assert blocked and blocked.json["error"]["param"] == "strict_words"
    assert ask(guarded, "/v1/guard", {"input": "forbidden"}, key=secret).json["blocked_by"] == "strict_words"


def test_guards_are_asked_by_themselves_and_nothing_else_is(guarded: Served, fakes: Fakes) -> None:
    before = len(fakes.openai.seen)
    body = {"input": f"see {BIRD}", "guards": [{"type": "regex", "pattern": "nightingale-[0-9]+", "label": "BIRD"}]}
    answer = ask(guarded, "/v1/guard", body)
    assert answer.status == 200
    said = answer.json
    assert (said["approved"], said["blocked_by"], said["sanitized_prompt"]) == (False, "regex", "see [BIRD]")
    assert said["verdicts"][0]["spans"] == [{"start": 4, "end": 20, "kind": "BIRD", "confidence": 1.0}]
    assert BIRD not in answer.body.decode() and len(fakes.openai.seen) == before
    kept = recorded(guarded, said["id"])
    assert kept["call"]["kind"] == "guard" and BIRD not in json.dumps(kept)
    assert ask(guarded, "/v1/guard", body, key=None).status == 401
    assert ask(guarded, "/v1/guard", {"input": 3}).json["error"]["param"] == "input"
    assert ask(guarded, "/v1/guard").status == 405


def test_an_old_answer_meets_todays_guards_and_a_bad_policy_leaves_the_old_one(guarded: Served, fakes: Fakes) -> None:
    say(fakes, "These are old words.")
    assert chat(guarded, "cached", "Say it", temperature=0).status == 200
    assert chat(guarded, "cached", "Say it", temperature=0).headers["x-comporta-cache"] == "hit"
    guarded.config.write_text(written(fakes, _LATER))
    blocked = until(lambda: (a := chat(guarded, "cached", "Say it", temperature=0)).status == 400 and a)
    assert blocked and blocked.json["error"]["param"] == "today"
    assert blocked.headers["x-comporta-cache"] == "hit"
    guarded.config.write_text(written(fakes, _LATER.replace("regex", "nobody")))
    line = next(n for n, text in enumerate(guarded.config.read_text().splitlines(), 1) if "nobody" in text)
    told = f"comporta.yaml:{line}"
    assert until(lambda: told in guarded.output and "there is no guard 'nobody'" in guarded.output), guarded.output
    assert chat(guarded, "cached", "Say it", temperature=0).status == 400
    guarded.config.write_text(written(fakes))


def test_logs_records_and_metrics_hold_nothing_that_a_guard_masked(guarded: Served, fakes: Fakes) -> None:
    # Unique to this test: those that others let through on purpose are in records rightly.
    secret = f"nightingale-{time.time_ns()}"
    say(fakes, "Hello [BIRD_1].")
    answers = [
        chat(guarded, "masked", f"I am {secret}"),
        chat(guarded, "blocked", f"drop tables of {secret}"),
        ask(guarded, "/v1/guard", {"input": secret, "policy": "strict", "side": "input"}),
    ]
    assert [one.status for one in answers] == [200, 400, 200]
    for one in answers[:2]:
        assert secret not in json.dumps(recorded(guarded, one.call))
    with urllib.request.urlopen(
        urllib.request.Request(f"{guarded.url}/metrics", headers={"Authorization": f"Bearer {guarded.key}"})
    ) as page:
        metrics = page.read().decode()
    assert 'comporta_guard_verdicts_total{guard="birds"' in metrics and secret not in metrics
    assert secret not in guarded.output
