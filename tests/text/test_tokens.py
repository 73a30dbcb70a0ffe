"""Tokens: counted by a table where one is at hand, else estimated within a tenth for prose and code."""

from __future__ import annotations

import base64
import json
import re
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from comporta.text.token_families import family_of
from comporta.text.token_pieces import pieces
from comporta.text.token_tables import Tables
from comporta.text.tokens import Counter, count, estimate, estimate_tokens

TEXTS = Path(__file__).parents[2] / "bench" / "token_texts"
#: By family and kind of text, what the real tables say of each text.
COUNTED: dict[str, dict[str, list[int]]] = json.loads((TEXTS / "counts.json").read_text())


def texts(kind: str) -> list[str]:
    return [text.strip("\n") for text in re.split(r"^=====$", (TEXTS / f"{kind}.txt").read_text(), flags=re.M)]


@pytest.mark.parametrize("family", sorted(COUNTED))
@pytest.mark.parametrize("kind", ["en", "pt", "es", "code"])
def test_the_estimate_of_texts_it_was_not_made_from_is_off_by_a_tenth_at_most(family: str, kind: str) -> None:
    held_out = list(zip(texts(kind), COUNTED[family][kind], strict=True))[6:]
    errors = [(estimate(text, family) - real) / real for text, real in held_out]
    assert len(errors) == 6
    assert statistics.mean(map(abs, errors)) <= 0.10
    assert abs(statistics.mean(errors)) <= 0.10
    assert max(map(abs, errors)) <= 0.25


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("openai/gpt-4o-mini", "o200k"), ("gpt-4", "cl100k"), ("gpt-3.5-turbo", "cl100k"), ("gpt-5.1", "o200k"),
        ("ft:gpt-4o-mini:acme::1", "o200k"), ("anthropic/claude-sonnet-4-5", "claude"), ("o3", "o200k"),
        ("openrouter/meta-llama/llama-3.1-70b", "llama"), ("gemini/gemini-2.5-flash", "gemini"),
        ("us.anthropic.claude-3-haiku", "claude"), ("deepseek-chat", "deepseek"), ("qwen2.5:7b", "qwen"),
        ("support", "o200k"), (None, "o200k"),
    ],
)  # fmt: skip
def test_a_models_name_tells_its_family(model: str | None, family: str) -> None:
    assert family_of(model) == family


def test_a_count_says_how_it_is_known() -> None:
    found = count("Hello, how are you?", "claude-sonnet-4-5")
    assert (found.exact, found.how, found.by) == (False, "estimate", "claude")
    assert 4 <= found.tokens <= 9


def test_nothing_is_no_token_and_anything_at_least_one() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("a") == estimate_tokens(" ") == 1


@given(st.text(max_size=300))
def test_pieces_lose_no_character_and_every_text_has_an_estimate(text: str) -> None:
    found = pieces(text)
    assert sum(len(piece) * times for piece, times in found.items()) == len(text)
    assert 0 <= estimate_tokens(text) <= 4 * len(text.encode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("渡轮九点一刻开往小岛", 11), ("Паром на остров отходит утром", 8), ("تغادر العبارة إلى الجزيرة", 7)],
)
def test_other_scripts_are_about_right(text: str, tokens: int) -> None:
    assert abs(estimate_tokens(text) - tokens) <= 0.5 * tokens


def write_json(folder: Path, family: str) -> None:
    """A tokenizer that makes a token of every word."""
    tokenizer = Tokenizer(models.WordLevel({"one": 0, "two": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / f"{family}.json"))


def test_a_table_in_the_folder_counts_exactly(tmp_path: Path) -> None:
    write_json(tmp_path, "claude")
    tables = Tables([tmp_path / "missing", tmp_path])
    assert tables.families == ("claude",)
    assert tables.load("claude") is not None
    counter = Counter(tables)
    found = counter.count("one two three four", "claude-opus-5")
    assert (found.tokens, found.exact, found.how, found.by) == (4, True, "table", "claude")
    assert not counter.count("one two", "gpt-4o").exact, "there is no table of that family"


def test_until_a_table_is_read_tokens_are_estimated(tmp_path: Path) -> None:
    write_json(tmp_path, "llama")
    counter = Counter(Tables([tmp_path]))
    assert not counter.count("one two", "llama3").exact
    assert counter.tables is not None
    counter.tables.load("llama")
    assert counter.count("one two", "llama3").exact


def test_ranks_in_tiktokens_form_are_merged(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken")
    ranks = [bytes([n]) for n in range(256)] + [b"ab", b" a", b"abab"]
    lines = [base64.b64encode(token) + b" %d" % rank for rank, token in enumerate(ranks)]
    (tmp_path / "o200k_base.tiktoken").write_bytes(b"\n".join(lines) + b"\n")
    counting = Tables([tmp_path]).load("o200k")
    assert counting is not None
    assert counting("abab abab") == 3, "`abab`, the blank, `abab`: the merge of the lowest rank comes first"
    assert counting("1234") == 4
    assert counting("<|endoftext|>") == 13, "the words of a special token are words"


@pytest.mark.parametrize("content", [b"", b"not a table", b'{"version": "1.0"}'])
def test_a_table_that_cannot_be_read_leaves_its_family_estimated(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "claude.json").write_bytes(content)
    tables = Tables([tmp_path])
    assert tables.load("claude") is None
    assert not Counter(tables).count("one two", "claude").exact
