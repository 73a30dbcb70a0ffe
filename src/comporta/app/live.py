"""What configurations of live quality and of findings name, held against what there is."""

from __future__ import annotations

from collections.abc import Callable, Container

from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.config.mistakes import did_you_mean


def live_mistakes(loaded: Loaded[Settings], routes: Container[str], leads: Callable[[str], bool]) -> list[str]:
    """Routes and channels that there are none of, and judges that lead nowhere, each with its file and line."""
    section = loaded.value.live_quality
    judged: list[tuple[tuple[str, ...], str | None]] = [(("live_quality", "judge"), section.judge)]
    wrong = []
    for name, route in section.routes.items():
        path = ("live_quality", "routes", name)
        if name not in routes:
            wrong.append(loaded.mistake(path, f"there is no route or model '{name}' that calls could ask for"))
        judged.append(((*path, "judge"), route.judge))
    text = "names no route, and no `provider/model` of a provider that there is: '{}'"
    wrong += [loaded.mistake(path, text.format(name)) for path, name in judged if name is not None and not leads(name)]
    return wrong + _of_findings(loaded, routes)


def _of_findings(loaded: Loaded[Settings], routes: Container[str]) -> list[str]:
    section, channels = loaded.value.findings, loaded.value.notify.channels
    wrong = [
        loaded.mistake(("findings", "routes", at), f"there is no route or model '{name}' that calls could ask for")
        for at, name in enumerate(section.routes or ()) if name not in routes
    ]  # fmt: skip
    return wrong + [
        loaded.mistake(
            ("findings", "channels", at), f"notify.channels has no channel of that name{did_you_mean(name, channels)}"
        )
        for at, name in enumerate(section.channels or ()) if name not in channels
    ]  # fmt: skip
