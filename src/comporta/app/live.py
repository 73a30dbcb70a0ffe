"""What a configuration of live quality names, held against what there is."""

from __future__ import annotations

from collections.abc import Callable, Container

from comporta.app.settings import Settings
from comporta.config.loading import Loaded


def live_mistakes(loaded: Loaded[Settings], routes: Container[str], leads: Callable[[str], bool]) -> list[str]:
    """Routes that there are none of, and judges that lead nowhere, each with its file and line."""
    section = loaded.value.live_quality
    judged: list[tuple[tuple[str, ...], str | None]] = [(("live_quality", "judge"), section.judge)]
    wrong = []
    for name, route in section.routes.items():
        path = ("live_quality", "routes", name)
        if name not in routes:
            wrong.append(loaded.mistake(path, f"there is no route or model '{name}' that calls could ask for"))
        judged.append(((*path, "judge"), route.judge))
    text = "names no route, and no `provider/model` of a provider that there is: '{}'"
    return wrong + [
        loaded.mistake(path, text.format(name)) for path, name in judged if name is not None and not leads(name)
    ]
