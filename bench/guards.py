"""`python bench/guards.py [--quick] [--out FILE]`: what guards cost, each alone and the default policy.

Harmless texts in three languages are put together to prompts of five lengths, each prompt different, so that no verdict
is remembered. Guards run as they run in the gate (`Runner`, with the text's forms shared between guards), on one core.

Printed as a table and written to `bench/out/guards.json`:

- `guards`: for each guard and length the median and the 95th percentile, in microseconds
- `policy`: the same for the default input policy (PII, secrets, injection, toxicity), with `longest_hold_us`: the
  longest time that no other task of the event loop had its turn
- `rules_only`: the policy without the classifiers' guards
- `reaches_embedder`: the share of texts for which the embedding model was asked
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from comporta.guardrails.base import Context, Tools
from comporta.guardrails.known import known_kinds
from comporta.guardrails.looking import Text
from comporta.guardrails.policy import Kinds, Use
from comporta.guardrails.running import Piece, Runner

OUT = Path(__file__).parent / "out" / "guards.json"
LENGTHS = (100, 300, 1_000, 4_000, 16_000)
RULES = ("pii_detection", "secrets")
LEARNT = ("prompt_injection", "toxicity_check")
SENTENCES = (
    "Could you help me plan a weekend in Porto with two children?",
    "The order 48213 has not arrived, and the shop does not answer my messages.",
    "Explain in simple words how solar panels turn light into electricity.",
    "Please correct the grammar of this paragraph and keep the tone friendly.",
    "A reunião passou para quinta-feira às três, na sala do segundo andar.",
    "Quais são as regras para pedir o reembolso de uma viagem cancelada?",
    "Escreve um resumo do relatório, com os números mais importantes numa tabela.",
    "O jardim estava cheio de gente e ninguém ouviu o telefone tocar.",
    "¿Me puedes decir cuánto tarda el envío a las islas en esta época?",
    "El informe dice que las ventas subieron un doce por ciento en marzo.",
    "Necesito una receta sencilla de lentejas para seis personas.",
    "La función devuelve una lista vacía cuando el archivo no existe.",
)


def prompt(length: int, rng: random.Random) -> str:
    """A harmless text of so many characters."""
    text = ""
    while len(text) < length:
        text += rng.choice(SENTENCES) + (" " if rng.random() < 0.8 else "\n")
    return text[: length - 6] + f"{rng.randrange(100_000):06d}"


class Asked:
    """Stands for the embedding model, and counts who asks."""

    name, dimensions = "counted", 384

    def __init__(self) -> None:
        self.texts = 0

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        self.texts += len(texts)
        return [(0.0,) * self.dimensions for _ in texts]


def context_of(piece: Piece, use: Use) -> Context:
    """What a guard is told beside the text."""
    return Context("input", piece.place, use.threshold)


async def timed(uses: Sequence[Use], length: int, count: int) -> list[float]:
    """Microseconds of each check, after some that are not counted."""
    rng = random.Random(length)
    runner = Runner()
    took = []
    for at in range(count + 10):
        piece = Piece(Text(prompt(length, rng)), "user")
        begun = time.perf_counter_ns()
        await runner.check(uses, [piece], context_of)
        if at >= 10:
            took.append((time.perf_counter_ns() - begun) / 1000)
    return took


async def longest_hold_us(uses: Sequence[Use], length: int, count: int) -> float:
    """The longest time between two turns of a task that only asks for its next turn; the median of the worst tenth."""
    turns: list[float] = []

    async def watch() -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            turns.append(now - before)
            before = now

    watching = asyncio.create_task(watch())
    held = []
    rng = random.Random(-length)
    runner = Runner()
    for _ in range(count):
        turns.clear()
        await runner.check(uses, [Piece(Text(prompt(length, rng)), "user")], context_of)
        await asyncio.sleep(0)
        held.append(max(turns, default=0.0))
    watching.cancel()
    return round(statistics.median(sorted(held)[-max(count // 10, 1) :]) * 1e6, 1)


def figures(took: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    ordered = sorted(took)
    return {"p50_us": round(statistics.median(ordered), 1), "p95_us": round(ordered[int(len(ordered) * 0.95)], 1)}


async def measured(quick: bool) -> dict[str, Any]:
    """All figures."""
    asked = Asked()
    kinds = Kinds(known_kinds(), Tools(embedder=asked))
    names = (*RULES, *LEARNT, "jailbreak_detection")
    rules, policy = kinds.uses(RULES, "input"), kinds.uses([*RULES, *LEARNT], "input")
    out: dict[str, Any] = {"guards": {}, "policy": {}, "rules_only": {}}
    texts = 0
    gc.collect()
    gc.freeze()
    for length in LENGTHS:
        count = max(20, (300_000 if quick else 1_200_000) // max(length, 1_000))
        for name in names:
            took = await timed(kinds.uses([name], "input"), length, count)
            out["guards"].setdefault(name, {})[str(length)] = figures(took)
        out["rules_only"][str(length)] = figures(await timed(rules, length, count))
        before = asked.texts
        out["policy"][str(length)] = {
            **figures(await timed(policy, length, count)),
            "longest_hold_us": await longest_hold_us(policy, length, max(count // 4, 20)),
        }
        texts += count
        out["embedder_asked"] = out.get("embedder_asked", 0) + asked.texts - before
    out["reaches_embedder"] = round(out.pop("embedder_asked") / texts, 4)
    return out


def shown(found: dict[str, Any]) -> Table:
    """As a table: median / 95th percentile in milliseconds."""
    table = Table("", *(f"{length:,} characters" for length in LENGTHS), title="median / 95th percentile, milliseconds")
    rows = [*found["guards"].items(), ("rules alone", found["rules_only"]), ("default policy", found["policy"])]
    for name, row in rows:
        cells = [row[str(length)] for length in LENGTHS]
        table.add_row(name, *(f"{c['p50_us'] / 1000:.2f} / {c['p95_us'] / 1000:.2f}" for c in cells))
    holds = [found["policy"][str(length)]["longest_hold_us"] / 1000 for length in LENGTHS]
    table.add_row("event loop held", *(f"{hold:.2f}" for hold in holds))
    return table


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    found = asyncio.run(measured(given.quick))
    found["python"] = sys.version.split()[0]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    console = Console(width=120)
    console.print(shown(found))
    console.print(f"reaches the embedding model: {found['reaches_embedder']:.1%} of texts")


if __name__ == "__main__":
    main()
