"""How far off estimates of tokens are, and what shortening prompts saves and costs: a table, or JSON with `--json`.

    python bench/tokens.py [--tables FOLDER] [--json]

Errors are on texts of our own that rates were not made from (the second half of every file of `bench/token_texts`),
against what the real tables say of them: kept in `counts.json`, or counted anew from tables in a folder.
"""

# ruff: noqa: T201 (a bench prints)

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from pathlib import Path
from typing import Any

from comporta.text.optimizing.conversation import shorten
from comporta.text.optimizing.settings import Policy
from comporta.text.token_tables import Tables
from comporta.text.tokens import estimate, estimate_tokens
from comporta.types import Message, Text

HERE = Path(__file__).parent / "token_texts"
KINDS = ("en", "pt", "es", "code")
_AIM = 0.10


def texts(kind: str) -> list[str]:
    return [text.strip("\n") for text in re.split(r"^=====$", (HERE / f"{kind}.txt").read_text(), flags=re.M)]


def counted(folder: Path | None) -> dict[str, dict[str, list[int]]]:
    """By family and kind what the tables say of each text."""
    known: dict[str, dict[str, list[int]]] = json.loads((HERE / "counts.json").read_text())
    if folder is not None:
        tables = Tables([folder])
        for family in tables.families:
            if (count := tables.load(family)) is not None:
                known[family] = {kind: [count(text) for text in texts(kind)] for kind in KINDS}
    return known


def errors(real: dict[str, dict[str, list[int]]]) -> list[dict[str, Any]]:
    """By family and kind: the bias, and the mean and 95th percentile of how far off an estimate is."""
    rows = []
    for family, kinds in sorted(real.items()):
        for kind in KINDS:
            pairs = list(zip(texts(kind), kinds[kind], strict=True))
            held_out = pairs[len(pairs) // 2 :]
            off = [(estimate(text, family) - tokens) / tokens for text, tokens in held_out]
            sizes = sorted(map(abs, off))
            rows.append(
                {"family": family, "kind": kind, "texts": len(off), "bias": statistics.mean(off),
                 "mean": statistics.mean(sizes), "p95": sizes[min(len(sizes) - 1, int(0.95 * len(sizes)))]}
            )  # fmt: skip
    return rows


def prompts() -> dict[str, tuple[Message, ...]]:
    """Prompts as applications send them, made of our own texts: tidy, loosely written, and with documents."""
    english = texts("en")
    loose = "\n\n\n\n".join(text.replace(". ", ".   ").replace(", ", ",  ") for text in english)
    documents = "\n".join(f"<document>\n{text}\n</document>" for text in (*english, *english[:6]))
    question = "How long do I bake the dough, and how hot must the oven be?"
    history = [
        Message(role, (Text(text),)) for at, text in enumerate(english * 2) for role in (("user", "assistant")[at % 2],)
    ]
    system = Message("system", (Text(f"{english[7]}\n\n{english[7]}"),))
    return {
        "tidy prose": (Message("user", (Text("\n\n".join(english)),)),),
        "loose prose": (Message("user", (Text(loose),)),),
        "12 documents, 6 twice": (system, Message("user", (Text(f"{documents}\n{question}"),))),
        "24 turns": (system, *history, Message("user", (Text(question),))),
        "code": (Message("user", (Text("\n".join(f"```\n{text}\n```" for text in texts("code"))),)),),
    }


def savings() -> list[dict[str, Any]]:
    """What the steps save, and how long they take."""
    policy = Policy(history=4, context_tokens=600)
    rows = []
    for name, messages in prompts().items():
        shorten(messages, policy, estimate_tokens)
        start = time.perf_counter()
        done = shorten(messages, policy, estimate_tokens)
        took_ms = (time.perf_counter() - start) * 1e3
        before, after = (sum(estimate_tokens(m.text) for m in some) for some in (messages, done.messages))
        rows.append(
            {"prompt": name, "before": before, "after": after, "saved": 1 - after / before, "ms": took_ms,
             "steps": dict(done.steps)}
        )  # fmt: skip
    return rows


def show(found: dict[str, Any]) -> None:
    print(f"{'family':10} {'text':6} {'texts':>5} {'bias':>8} {'mean':>7} {'p95':>7}   error against the real table")
    for row in found["errors"]:
        beyond = "" if row["mean"] <= _AIM else "   beyond the aim of ±10 %"
        print(
            f"{row['family']:10} {row['kind']:6} {row['texts']:5} {row['bias']:+8.1%} {row['mean']:7.1%} "
            f"{row['p95']:7.1%}{beyond}"
        )
    print(f"\n{'prompt':24} {'before':>7} {'after':>7} {'saved':>7} {'ms':>7}   tokens saved by step")
    for row in found["savings"]:
        steps = ", ".join(f"{name} {saved}" for name, saved in row["steps"].items()) or "-"
        print(f"{row['prompt']:24} {row['before']:7} {row['after']:7} {row['saved']:7.1%} {row['ms']:7.1f}   {steps}")
    print(f"\nestimating takes {found['estimate_us_per_1000_characters']:.0f} µs per 1,000 characters")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, help="a folder with tokenizers' tables")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    text = "\n\n".join(texts("en"))
    start = time.perf_counter()
    for _ in range(50):
        estimate_tokens(text)
    took_s = (time.perf_counter() - start) / 50
    found = {
        "errors": errors(counted(given.tables)),
        "savings": savings(),
        "estimate_us_per_1000_characters": took_s / len(text) * 1e9,
    }
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
