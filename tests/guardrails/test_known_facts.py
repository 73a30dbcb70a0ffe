"""Answers held against a knowledge base: folders and files are read, searched and read anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from comporta.errors import ConfigError, Unavailable
from comporta.guardrails.base import Searched, Tools
from comporta.guardrails.kinds import fact_check
from comporta.guardrails.knowledge import Knowledge, passages_of

from .verdicts import of, verdict

KIND = of(fact_check.KINDS, "fact_check")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "policy.md").write_text(
        "# Returns\n\nShoes can be returned within 30 days of delivery. Refunds are paid in 5 working days.\n", "utf-8"
    )
    (tmp_path / "politica.txt").write_text(
        "O frete é grátis para compras acima de 200 reais. A garantia das mochilas é de 12 meses.", "utf-8"
    )
    (tmp_path / "tiendas.csv").write_text("ciudad;apertura\nMadrid;10:00\nSevilla;09:30\n", "utf-8")
    (tmp_path / "prices.json").write_text(json.dumps([{"product": "Aurora backpack", "price": 89}]), "utf-8")
    (tmp_path / "notes.log").write_text("Shoes can be returned within 90 days.", "utf-8")
    return tmp_path


def tools_of(path: Path) -> Tools:
    def find(name: str) -> Searched:
        if name != "shop":
            raise ConfigError(f"there is no knowledge base '{name}'")
        return Knowledge(path)

    return Tools(knowledge=find)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Shoes can be returned within 30 days of delivery.", "Shoes can be returned within 90 days of delivery."),
        ("A garantia das mochilas é de 12 meses.", "A garantia das mochilas é de 36 meses."),
        ("La ciudad de Sevilla: apertura 09:30.", "La ciudad de Sevilla: apertura 07:45."),
        ("The Aurora backpack product has the price 89.", "The Aurora backpack product has the price 45."),
    ],
)
async def test_what_the_base_holds_is_less_in_doubt_than_what_it_contradicts(
    base: Path, right: str, wrong: str
) -> None:
    good = await verdict(KIND, right, {"knowledge": "shop"}, tools_of(base))
    bad = await verdict(KIND, wrong, {"knowledge": "shop"}, tools_of(base))
    assert good.confidence < KIND.threshold <= bad.confidence
    assert "knowledge base" in bad.reason


async def test_what_the_base_says_nothing_about_is_left_unless_it_is_to_be_found(base: Path) -> None:
    said = "Jupiter orbits the Sun once every twelve years."
    assert (await verdict(KIND, said, {"knowledge": "shop"}, tools_of(base))).outcome == "pass"
    strict = await verdict(KIND, said, {"knowledge": "shop", "unknown": "flag"}, tools_of(base))
    assert strict.confidence >= KIND.threshold


async def test_a_base_that_nobody_named_is_a_mistake_at_start(base: Path) -> None:
    with pytest.raises(ConfigError, match="no knowledge base 'store'"):
        await verdict(KIND, "x", {"knowledge": "store"}, tools_of(base))
    with pytest.raises(ConfigError, match=r"guardrails\.knowledge"):
        await verdict(KIND, "x", {"knowledge": "shop"})
    with pytest.raises(ConfigError, match="passages"):
        await verdict(KIND, "x", {"knowledge": "shop", "passages": 0}, tools_of(base))


async def test_the_nearest_passages_come_first_and_other_files_are_left_aside(base: Path) -> None:
    found = await Knowledge(base).search("Within how many days can shoes be returned?", 3)
    assert found[0].startswith("Returns") or "30 days" in found[0]
    assert not any("90 days" in passage for passage in found)
    assert await Knowledge(base / "politica.txt").search("frete grátis", 1) == [
        "O frete é grátis para compras acima de 200 reais. A garantia das mochilas é de 12 meses."
    ]


async def test_a_base_is_read_anew_when_its_files_change(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comporta.guardrails.knowledge._LOOK_S", 0.0)
    knowledge = Knowledge(base)
    assert "30 days" in (await knowledge.search("shoes returned", 1))[0]
    file = base / "policy.md"
    file.write_text("Shoes can be returned within 45 days.", "utf-8")
    os.utime(file, ns=(1, 1))
    assert "45 days" in (await knowledge.search("shoes returned", 1))[0]
    file.unlink()
    assert not any("45 days" in one for one in await knowledge.search("shoes returned", 3))


async def test_a_base_that_breaks_answers_with_what_it_was_and_one_that_never_was_says_so(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comporta.guardrails.knowledge._LOOK_S", 0.0)
    knowledge = Knowledge(base)
    await knowledge.search("shoes", 1)
    (base / "prices.json").write_text("[{", "utf-8")
    assert "30 days" in (await knowledge.search("shoes returned", 1))[0]
    with pytest.raises(Unavailable, match=r"prices\.json is no json"):
        await Knowledge(base).search("shoes", 1)
    with pytest.raises(Unavailable, match="no such file"):
        await Knowledge(base / "gone").search("shoes", 1)


def test_rows_and_entries_become_passages_that_name_their_columns(base: Path) -> None:
    found = passages_of(base)
    assert "ciudad: Madrid. apertura: 10:00" in found
    assert "product: Aurora backpack. price: 89" in found
