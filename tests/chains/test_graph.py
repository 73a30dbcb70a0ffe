"""Chains that ask one another: what is found before any call is made."""

from __future__ import annotations

from comporta.chains.graph import direct, tangles
from comporta.chains.values import Chain, Parallel, Router, Step


def chain(name: str, *models: str) -> Chain:
    return Chain(name, [Step(f"s{at}", "Say {input}", model=model) for at, model in enumerate(models)])


def texts(*chains: Chain) -> list[str]:
    return [f"{one.chain.name} {one.text}" for one in tangles({one.name: one for one in chains}, direct)]


def test_chains_that_ask_models_and_chains_that_are_there_are_fine() -> None:
    assert texts(chain("a", "openai/x", "chain:b"), chain("b", "openai/x")) == []


def test_a_chain_that_is_not_there_is_told_with_the_nearest() -> None:
    assert texts(chain("a", "chain:trage"), chain("triage", "m")) == [
        "a there is no chain 'trage'; did you mean 'triage'?"
    ]


def test_a_chain_that_asks_itself_is_told() -> None:
    assert texts(chain("a", "chain:a")) == ["a asks itself without an end: a → a"]


def test_a_cycle_is_told_once_with_its_way() -> None:
    assert texts(chain("a", "chain:b"), chain("b", "m", "chain:c"), chain("c", "chain:a")) == [
        "a asks itself without an end: a → b → c → a"
    ]


def test_a_cycle_through_routers_parallels_and_decisions_is_found() -> None:
    through = Chain(
        "a",
        [
            Parallel([Step("p", "Say {input}"), Router("r", {"x": "chain:b"}, decide="input")]),
            Router("q", {"x": [Step("y", "Say {input}")]}, "Where? {input}", model="chain:c"),
        ],
    )
    assert texts(through, chain("b", "chain:a")) == [
        "a there is no chain 'c'",
        "a asks itself without an end: a → b → a",
    ]


def test_four_chains_deep_is_allowed_and_five_is_not() -> None:
    four = [chain("a", "chain:b"), chain("b", "chain:c"), chain("c", "chain:d"), chain("d", "m")]
    assert texts(*four) == []
    assert texts(chain("z", "chain:a"), *four) == ["z asks chains that ask chains, 5 deep; at most 4 are allowed"]


def test_names_of_routes_lead_where_their_variants_do() -> None:
    chains = {"a": chain("a", "support")}
    found = tangles(chains, lambda name: ["a"] if name == "support" else [])
    assert [one.text for one in found] == ["asks itself without an end: a → a"]


def test_many_chains_that_share_others_take_no_time() -> None:
    layers = [[f"l{depth}n{at}" for at in range(15)] for depth in range(4)]
    chains = {
        name: chain(name, *(f"chain:{below}" for below in (layers[depth + 1] if depth < 3 else ())), "m")
        for depth, names in enumerate(layers)
        for name in names
    }
    assert tangles(chains, direct) == []
