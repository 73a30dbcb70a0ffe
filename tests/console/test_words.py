"""What the console says: the same in both languages, and numbers as each writes them."""

from __future__ import annotations

import string
from collections.abc import Mapping

import pytest

from comporta.console import common, sign_in
from comporta.console.pages.every import PAGES
from comporta.console.parts import chat
from comporta.console.words import Words, language_of

ALL: list[tuple[str, Mapping[str, tuple[str, str]]]] = [
    ("common", common.COMMON), ("sign-in", sign_in.TEXTS), ("chat", chat.TEXTS),
    *((page.path, page.texts) for page in PAGES),
]  # fmt: skip


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize(("where", "texts"), ALL, ids=[name for name, _ in ALL])
def test_both_languages_say_the_same_with_the_same_values(where: str, texts: Mapping[str, tuple[str, str]]) -> None:
    for key, (english, portuguese) in texts.items():
        assert english.strip() and portuguese.strip(), key
        assert fields(english) == fields(portuguese), key


def test_every_page_has_a_title_and_letters_lead_to_one_page_each() -> None:
    assert all(page.title in page.texts for page in PAGES)
    letters = [page.letter for page in PAGES if page.letter]
    assert len(set(letters)) == len(letters)
    assert not set(letters) & set("jkg/?"), "these have a meaning of their own"
    assert len({page.path for page in PAGES}) == len(PAGES)
    assert {page.parent for page in PAGES if page.parent} <= {page.path for page in PAGES}


def test_numbers_money_and_times_are_written_as_each_language_does() -> None:
    english, portuguese = Words("en"), Words("pt")
    assert (english.number(1234567.891, 2), portuguese.number(1234567.891, 2)) == ("1,234,567.89", "1.234.567,89")
    assert english.money(1_500_000) == "$1.50" and portuguese.money(1_500_000) == "$1,50"
    assert english.money(42) == "$0.000042" and english.money(0) == "$0.00" and english.money(None) == "–"
    assert (english.short(999), english.short(12_345), english.short(3_400_000)) == ("999", "12.3k", "3.4M")
    assert (english.seconds(0.0004), english.seconds(0.32), english.seconds(1.25)) == ("0.4 ms", "320 ms", "1.25 s")
    assert (english.share(0.1234), english.bytes(3_400_000)) == ("12.3%", "3.4 MB")


@pytest.mark.parametrize(
    ("cookies", "accepted", "language"),
    [({}, "pt-BR,pt;q=0.9,en;q=0.8", "pt"), ({}, "de-DE,de;q=0.9", "en"), ({}, "", "en"),
     ({"comporta_language": "en"}, "pt-BR", "en"), ({"comporta_language": "<script>"}, "pt", "pt")],
)  # fmt: skip
def test_the_chosen_language_comes_before_the_browsers(cookies: dict[str, str], accepted: str, language: str) -> None:
    assert language_of(cookies, accepted) == language


def test_a_text_that_there_is_none_of_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Words("en", common.COMMON)("no_such_text")
