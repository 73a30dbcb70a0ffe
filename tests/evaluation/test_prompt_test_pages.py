"""What the pages show of files of tests can be read, and the reference names every key there is."""

from __future__ import annotations

import pytest

from comporta.cli.prompts_test import CONCURRENCY as TYPED
from comporta.evaluation import reading_suite
from comporta.evaluation.acting import _KEYS as ACTION
from comporta.evaluation.gate import EXIT_CODES
from comporta.evaluation.reading_suite import load_suite_bytes
from comporta.evaluation.running import CONCURRENCY
from support.documents import Block, blocks, codes, page, rows, section

SHOWN = [block for block in blocks("yaml") if "/tests/" in block.mark]


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: block.name)
def test_a_file_of_tests_on_a_page_can_be_read(block: Block) -> None:
    assert load_suite_bytes(block.text.encode(), block.mark).cases


def test_the_reference_names_every_key() -> None:
    known = {*reading_suite._KEYS, *reading_suite._CASE, *reading_suite._GATE, *reading_suite._METRIC, *ACTION}
    text = page("reference/prompt-tests.md")
    assert not {one for one in known if one not in codes(text) and f"{one}:" not in text}


def test_the_exit_codes_are_those_of_the_gate() -> None:
    told = {int(row[0]) for row in rows(section(page("how-to/test-prompts-in-ci.md"), "## Run them"))}
    assert told == {code for _, code in EXIT_CODES}
    order = [str(code) for _, code in EXIT_CODES]
    assert ", ".join(dict.fromkeys(order)) in page("how-to/test-prompts-in-ci.md")


def test_the_command_line_tells_the_usual_concurrency_without_loading_what_runs() -> None:
    assert TYPED == CONCURRENCY
