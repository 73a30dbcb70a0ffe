"""What a newcomer does: clone, `make serve`, paste, Ctrl-C — in an environment with nothing of ours in it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from comporta.testing.servers import short_folder
from support.serving import free_port

ROOT = Path(__file__).parents[2]
#: Installing takes a minute or two; a slow package index must not look like a fault of ours.
INSTALL_LIMIT_S = 600.0


@pytest.fixture
def clone() -> Iterator[Path]:
    """The repository as committed and changed here, without anything that git does not know."""
    with short_folder() as folder:
        target = folder / "comporta"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True,
        ).stdout.decode()  # fmt: skip
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target / name)
        if os.geteuid() == 0:
            target.chmod(0o711)
        yield target


def clean_environment() -> dict[str, str]:
    """What a fresh login has, and the package index's own settings."""
    kept = ("PATH", "HOME", "LANG", "USER")
    return {k: v for k, v in os.environ.items() if k in kept or k.startswith(("PIP_", "SSL_"))}


@pytest.mark.timeout(INSTALL_LIMIT_S + 120)
def test_make_serve_on_a_clean_clone_answers_a_real_sdk_and_ctrl_c_ends_it_all(clone: Path) -> None:
    port = free_port()
    environment = clean_environment() | {"COMPORTA_PORT": str(port)}
    output = clone / "output.txt"
    with output.open("wb") as out:
        served = subprocess.Popen(
            ["make", "serve"], cwd=clone, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        deadline_s = time.monotonic() + INSTALL_LIMIT_S
        while "Comporta is open." not in output.read_text() and time.monotonic() < deadline_s:
            assert served.poll() is None, output.read_text()
            time.sleep(0.3)
        text = output.read_text()
        key = re.search(r"Admin key +(\S+)", text)
        assert key, text
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key[1], max_retries=0) as client:
            reply = client.chat.completions.create(
                model="default",
                messages=[
                    {"role": "system", "content": "The gate opens at nine. The gate closes at five."},
                    {"role": "user", "content": "When does the gate open?"},
                ],
            )
        assert "The gate opens at nine." in (reply.choices[0].message.content or "")
        curl = text[text.index("curl ") :].split("\n\n")[0]
        pasted = subprocess.run(["bash", "-c", curl], capture_output=True, check=True, text=True)
        assert '"choices"' in pasted.stdout
        assert (clone / ".comporta" / "admin.key").stat().st_mode & 0o777 == 0o600
    finally:
        os.killpg(served.pid, signal.SIGINT)
        served.wait(40)
    left = subprocess.run(["pgrep", "-af", str(clone)], capture_output=True, text=True).stdout
    assert not left, left
