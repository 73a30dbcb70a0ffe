"""`comporta simulate`: the sample's tables, JSON, and what is told where there is nothing to replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from comporta.cli.main import program
from comporta.cli.simulate import bar
from comporta.errors import BadRequest, ComportaError, ConfigError

EXACT = (
    "cache: {enabled: true, ttl: 24h}\nbatches: {tags: {when: night}}\nroutes: {faq: {model: openai/gpt-4.1-mini}}\n"
)


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    for name in ("COMPORTA_URL", "COMPORTA_DATA", "COMPORTA_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> Result:
        found = CliRunner().invoke(program("simulate"), ["simulate", *words])
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found

    return run


def test_the_sample_shows_every_lever_and_workload_and_is_the_same_at_every_run(typed: Any, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(EXACT)
    words = ("--sample", "--policy", "p.yaml", "--calls", "40", "--json")
    first, second = json.loads(typed(*words).stdout), json.loads(typed(*words).stdout)
    first.pop("took_s"), second.pop("took_s")
    assert first == second
    assert (first["calls"], first["read"]) == (160, 160)
    assert [lever["name"] for lever in first["levers"]] == ["routing", "cache", "batching"]
    assert {group["name"] for group in first["groups"]} == {"faq", "code", "documents", "creative"}
    alone = sum(lever["saved_microusd"] for lever in first["levers"])
    assert 0 < first["together_microusd"] == alone - first["overlap_microusd"] < alone
    other = json.loads(typed(*words, "--seed", "8").stdout)
    assert other["read_microusd"] != first["read_microusd"]


def test_the_tables_stand_beside_what_people_quote(typed: Any, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(EXACT)
    shown = typed("--sample", "--policy", "p.yaml", "--calls", "20").stdout
    for text in ("25%–40%", "30%–50%", "15%–25%", "60%–75%", "all together", "no model asked", "how good the other"):
        assert text in shown, text


def test_a_bar_shows_a_share_and_the_range_behind_it() -> None:
    assert bar(0.3, (0.25, 0.40), 0.6) == "█" * 8 + "▓" * 2 + "░" * 3 + " " * 7
    assert bar(2.0, None, 0.6) == "█" * 20
    assert bar(-1.0, None, 0.6) == " " * 20


def test_a_policy_with_an_unknown_model_is_told_with_its_line(typed: Any, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("cache: {enabled: true}\nroutes: {faq: {model: nobody/x}}\n")
    with pytest.raises(ConfigError, match=r"p\.yaml:2: routes\.faq.*nobody"):
        typed("--sample", "--policy", "p.yaml")


def test_without_anything_to_replay_it_says_what_to_do(typed: Any, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="--policy"):
        typed()
    (tmp_path / "p.yaml").write_text(EXACT)
    with pytest.raises(ComportaError, match="--sample needs no traffic"):
        typed("--policy", "p.yaml", "--config", "none.yaml") if (tmp_path / "none.yaml").write_text(
            "providers: {openai: {api_key: x}}\nroutes: {faq: {model: openai/gpt-4.1}}\n"
        ) else None


@pytest.mark.parametrize("words", [("--from", "yesterday"), ("--from", "2026-11-09", "--to", "2026-11-08")])
def test_a_window_that_is_none_is_told(typed: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest):
        typed(*words)


def test_the_sample_has_no_routes_to_choose_from(typed: Any) -> None:
    with pytest.raises(BadRequest, match="--route"):
        typed("--sample", "--route", "faq")
