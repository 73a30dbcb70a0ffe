"""`pii_detection` and `secrets` as policies use them: settings, verdicts, and streams cut anywhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comporta.errors import ConfigError, GuardrailBlocked
from comporta.guardrails import kinds as kinds_room
from comporta.guardrails.base import Context, Tools
from comporta.guardrails.kinds import pii, secrets
from comporta.guardrails.looking import Text
from comporta.guardrails.policy import Kinds, Policy, versioned

from ..test_stage import answer, call_of, chunks, stage_of

CONTEXT = Context("input", "user", 0.5)
KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7x\n" * 30 + "-----END RSA PRIVATE KEY-----"
STREAMED = (
    ("Claro, o CPF dele é 529.982.247-25 mesmo. ", "529.982.247-25", "[CPF]"),
    ("You can pay with 4111 1111 1111 1111 now. ", "4111 1111 1111 1111", "[CARD_NUMBER]"),
    ("Escreva para ana.souza@empresa.com.br hoje. ", "ana.souza@empresa.com.br", "[EMAIL]"),
    ("Use sk-ant-api03-Zx81kQpL0wV7bN4mT2yR9cJ6hF3 here. ", "sk-ant-api03-Zx81kQpL0wV7bN4mT2yR9cJ6hF3", "[API_KEY]"),
    (f"The key:\n{KEY}\nThat is all. ", KEY, "[PRIVATE_KEY]"),
)


@pytest.fixture(scope="module")
def kinds() -> Kinds:
    assert kinds_room.__path__
    return Kinds((*pii.KINDS, *secrets.KINDS), Tools())


@pytest.fixture(scope="module")
def both(kinds: Kinds) -> Policy:
    return versioned(Policy(output=kinds.uses(["pii_detection", "secrets"], "output")))


async def test_a_verdict_names_the_kinds_and_never_the_values(kinds: Kinds) -> None:
    use = kinds.use("pii_detection", "input")
    verdict = await use.guard(Text("CPF 529.982.247-25 e ana@x.com"), CONTEXT)
    assert (verdict.outcome, use.action) == ("flag", "mask")
    assert {match.kind for match in verdict.spans} == {"CPF", "EMAIL"}
    assert verdict.facts == {"kinds": ["CPF", "EMAIL"]}
    assert "529" not in verdict.reason
    assert (await use.guard(Text("What is the capital of France?"), CONTEXT)).outcome == "pass"


async def test_secrets_say_whose_they_are(kinds: Kinds) -> None:
    verdict = await kinds.use("secrets", "input").guard(Text("AKIAIOSFODNN7QRSTUVW and 52998224725"), CONTEXT)
    assert verdict.facts == {"kinds": ["API_KEY"], "issuers": ["aws"]}


async def test_a_stricter_threshold_leaves_out_what_is_doubtful(kinds: Kinds) -> None:
    guard = kinds.use("pii_detection", "input").guard
    doubtful = Text("CPF 123.456.789-00")
    assert (await guard(doubtful, CONTEXT)).spans
    assert not (await guard(doubtful, Context("input", "user", 0.9))).spans


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"type": "pii_detection", "types": ["e-mial"]}, "no type 'e-mial'"),
        ({"type": "pii_detection", "types": ["cpf"], "not": ["cpf"]}, "nothing to look for"),
        ({"type": "pii_detection", "regions": ["Brasil"]}, "two letters"),
        ({"type": "pii_detection", "minimum": 1.5}, "between 0 and 1"),
        ({"type": "pii_detection", "typs": ["cpf"]}, "typs"),
        ({"type": "secrets", "types": ["cpf"]}, "no type 'cpf'"),
        ({"type": "secrets", "minimum": -1}, "between 0 and 1"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_with_what_there_is(kinds: Kinds, entry: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        kinds.use(entry, "input")


def test_settings_are_read_as_people_write_them(kinds: Kinds) -> None:
    wanted = {"type": "pii_detection", "types": ["email", "Credit_Card", "cpf"], "not": ["cpf"], "regions": ["br"]}
    assert kinds.use(wanted, "input").name == "pii_detection"
    assert pii.wanted_kinds(pii.PiiSettings(types=("email", "Credit_Card", "cpf"), without=("cpf",))) == {
        "EMAIL", "CARD_NUMBER",
    }  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.integers(0, len(STREAMED) - 1), sizes=st.lists(st.integers(1, 25), max_size=80), before=st.integers(0, 400)
)
async def test_no_value_slips_through_a_stream_wherever_it_is_cut(
    both: Policy, which: int, sizes: list[int], before: int
) -> None:
    sentence, value, mask = STREAMED[which]
    text = ("lorem ipsum dolor sit amet " * 20)[:before] + " " + sentence + "consectetur adipiscing elit " * 8
    said, events, _ = await answer(stage_of(both), call_of("x"), chunks(text, sizes))
    assert said == text.replace(value, mask)
    assert events[-1].last


async def test_a_private_key_that_never_ends_is_never_given_out(kinds: Kinds) -> None:
    policy = versioned(Policy(output=kinds.uses([{"type": "secrets", "action": "mask"}], "output")))
    text = "Here: " + KEY.partition("-----END")[0]
    said, _, _ = await answer(stage_of(policy), call_of("x"), chunks(text, [9] * 90))
    assert said == "Here: [PRIVATE_KEY]"


async def test_a_block_ends_the_answer_with_an_error_that_names_no_value(kinds: Kinds) -> None:
    policy = versioned(Policy(output=kinds.uses([{"type": "pii_detection", "action": "block"}], "output")))
    with pytest.raises(GuardrailBlocked) as told:
        await answer(stage_of(policy), call_of("x"), chunks("O CPF é 529.982.247-25.", [5] * 9))
    assert "529" not in told.value.message
