"""Prints how much of what was planted is found, by kind: `python -m tests.guardrails.pii.measured [SEED]`."""

from __future__ import annotations

import sys
from collections import Counter

from comporta.guardrails.kinds.pii import PiiSettings, finder_of
from comporta.guardrails.looking import Text

from .lookalikes import lookalikes
from .planted import planted


def main(seed: int) -> None:
    finder = finder_of(PiiSettings())
    there, right, wrong = Counter[str](), Counter[str](), Counter[str]()
    sentences = planted(seed, each=25)
    for sentence in sentences:
        start, end, kind = sentence.spans[0]
        there[kind] += 1
        hits = [(m.kind, m.start <= start and m.end >= end) for m in finder.find(Text(sentence.text), 0.5)]
        right[kind] += (kind, True) in hits
        wrong.update(hit[0] for hit in hits if hit != (kind, True))
    texts = lookalikes(seed, each=25)
    flagged = Counter(m.kind for text in texts for m in finder.find(Text(text), 0.5))
    print("| type | planted | recall | precision | found in look-alikes |\n|---|--:|--:|--:|--:|")
    for kind, count in there.items():
        false = wrong[kind] + flagged[kind]
        precision = right[kind] / (right[kind] + false) if right[kind] else 0.0
        print(f"| `{kind}` | {count} | {right[kind] / count:.3f} | {precision:.3f} | {flagged[kind]} |")
    print(f"\n{len(sentences)} sentences, {len(texts)} look-alikes, {sum(flagged.values())} finds in these")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
