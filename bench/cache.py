"""`python bench/cache.py [--json] [--quick] [FILE ...]`: the semantic cache, how right it is and how fast.

Two parts, each a program of its own, too: `cache_quality.py` (hits, precision, false hits) and `cache_speed.py`
(look-ups at 100,000 entries, and that nobody gets another tenant's answer). With --json the figures
also go to `bench/out/cache.json`. Ends with 1 where something that is asked was missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE / "out" / "cache.json"
PARTS = ("cache_quality", "cache_speed")


def asked_of(part: str, more: list[str], *, shown: bool) -> tuple[int, dict[str, Any]]:
    """Run a part: its exit status, and its figures where they are not shown by itself."""
    command = [sys.executable, str(HERE / f"{part}.py"), *(() if shown else ("--json",)), *more]
    done = subprocess.run(command, check=False, text=True, stdout=None if shown else subprocess.PIPE, cwd=HERE)
    return done.returncode, {} if shown else json.loads(done.stdout)


def main() -> int:
    """Runs both parts, and prints."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("files", nargs="*", type=Path, help="more pairs, as for `comporta cache evaluate`")
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--quick", action="store_true")
    given = asked.parse_args()
    quick = ["--quick"] if given.quick else []
    worst, figures = 0, {}
    for part in PARTS:
        if (HERE / f"{part}.py").is_file():
            more = [*quick, *(str(path.resolve()) for path in given.files if part == "cache_quality")]
            status, figures[part.removeprefix("cache_")] = asked_of(part, more, shown=not given.json)
            worst = max(worst, status)
    if given.json:
        text = json.dumps(figures, indent=1)
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(text + "\n", "utf-8")
        sys.stdout.write(text + "\n")
    return worst


if __name__ == "__main__":
    sys.exit(main())
