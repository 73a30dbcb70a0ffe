"""What configurations of live quality and of findings name must be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from comporta.app.folder import Folder
from comporta.app.live import live_mistakes
from comporta.app.loaded import Places, load_settings

CONFIG = """routes:
  echo: {model: scripted/echo}
live_quality:
  judge: nothing/there
  routes:
    ecko: {relevance: true}
    echo: {relevance: true, judge: echo}
findings:
  routes: [echo, eco]
  channels: [opps]
notify: {channels: {ops: {type: webhook, url: "http://127.0.0.1/", secret: planted-secret-0000000000}}}
"""


def test_unknown_routes_judges_and_channels_are_told_with_their_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "comporta.yaml").write_text(CONFIG)
    loaded = load_settings(Places(None, Folder(tmp_path / "data")), {})
    told = live_mistakes(loaded, {"echo"}, lambda name: name == "echo")
    assert len(told) == 4
    assert "comporta.yaml:6" in told[0] and "'ecko'" in told[0]
    assert "comporta.yaml:4" in told[1] and "'nothing/there'" in told[1]
    assert "comporta.yaml:9" in told[2] and "'eco'" in told[2]
    assert "comporta.yaml:10" in told[3] and "did you mean 'ops'?" in told[3]
