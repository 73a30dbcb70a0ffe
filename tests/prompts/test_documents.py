"""What the pages say of prompt files is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from comporta.prompts.checks import examine
from comporta.prompts.declared import KEYS as VARIABLE_KEYS
from comporta.prompts.declared import RULES, SANITIZATION
from comporta.prompts.file import KEYS
from comporta.prompts.folder import survey
from comporta.prompts.jinja import FILTERS
from comporta.prompts.words import understood
from support.documents import blocks, codes, page, rows, section

PAGE = "reference/prompt-files.md"


SHOWN = [block for block in blocks("yaml") if block.mark.startswith("prompts/") and "/tests/" not in block.mark]


@pytest.mark.parametrize("at", range(len(SHOWN)))
async def test_every_prompt_on_a_page_passes_the_check(at: int, tmp_path: Path) -> None:
    """A page's prompts are written one after the other, as its reader does: a later one may be a file's new version."""
    before = [block for block in SHOWN[: at + 1] if block.page == SHOWN[at].page]
    for block in before:
        (tmp_path / Path(block.mark).name).write_text(block.text)
    report = await examine(tmp_path, survey(tmp_path, guards=True), lambda model: None)
    assert (report.prompts, report.findings) == (len({block.mark for block in before}), ())


def test_pages_show_prompts() -> None:
    assert len(SHOWN) >= 5


@pytest.mark.parametrize(
    ("heading", "known"),
    [("## Keys", KEYS), ("## Variables", VARIABLE_KEYS), ("## Rules", RULES), ("## Sanitization", SANITIZATION)],
)
def test_the_tables_list_every_key(heading: str, known: tuple[str, ...]) -> None:
    listed = {code for row in rows(section(page(PAGE), heading)) for code in codes(row[0])}
    assert listed == set(known)


def test_every_filter_is_listed() -> None:
    assert codes(section(page(PAGE), "## Jinja")) == set(FILTERS)


@pytest.mark.parametrize(
    "words", sorted(code for row in rows(section(page(PAGE), "## Rules")) for code in codes(row[1]))
)
def test_the_words_of_the_table_are_understood(words: str) -> None:
    assert understood(words)
