"""The gateways that are measured: how each is started in front of the mock, and where it then is."""

from __future__ import annotations

import json
import re
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gauge.installing import BENCH, LITELLM, TENSORZERO
from gauge.processes import GATEWAY_CORE, LOAD_CORE, Started, free_port, pin_postgres, rss_mb, wait_for
from gauge.words import MODELS, PLAIN, request

PATH = "/v1/chat/completions"
_HERE = {"PYTHONPATH": str(BENCH)}


class Gateway:
    """A gateway that answers at `port`. `prefix` stands before the names of models, `note` under the table."""

    def __init__(
        self, name: str, port: int, process: Started, *, path: str = PATH, prefix: str = "", key: str = "sk-none",
        note: str = "",
    ) -> None:  # fmt: skip
        self.name = name
        self.port = port
        self.note = note
        self.process = process
        self._path, self._prefix, self._key = path, prefix, key
        #: Its processes, known once it runs.
        self.pids: list[int] = []

    def request(self, model: str) -> bytes:
        return request(self.port, self._prefix + model, self._path, self._key)

    def settled(self) -> None:
        self.pids = self.process.tree()

    @property
    def rss_mb(self) -> float:
        """Of its largest process: the one that answers."""
        return max(map(rss_mb, self.process.tree()), default=0.0)

    def idle(self) -> bool:
        """Whether nothing of what it was asked is still to be done."""
        return True


def answers(gateway: Gateway) -> bool:
    """Whether a call comes through."""
    head, _, body = gateway.request(PLAIN).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:])
    asked = urllib.request.Request(
        f"http://127.0.0.1:{gateway.port}{head.split()[1].decode()}", data=body, headers=headers
    )
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _ready(gateway: Gateway, within_s: float) -> Gateway:
    wait_for(lambda: answers(gateway), gateway.process, within_s)
    gateway.settled()
    return gateway


def mock(folder: Path) -> Gateway:
    port = free_port()
    process = Started([sys.executable, "-m", "gauge.mock", str(port)], LOAD_CORE, folder, "mock", _HERE)
    return _ready(Gateway("direct", port, process), 10)


def bare(folder: Path, upstream: int) -> Gateway:
    port = free_port()
    argv = [sys.executable, "-m", "gauge.bare", str(port), str(upstream)]
    process = Started(argv, GATEWAY_CORE, folder, "bare", _HERE)
    return _ready(Gateway("bare", port, process, note="granian and aiohttp alone, written in bench/gauge/bare.py"), 20)


_NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error.log;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  keepalive_requests 100000000;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


def nginx(folder: Path, upstream: int) -> Gateway:
    binary = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if binary is None:
        raise RuntimeError("nginx is not installed (Debian: apt-get install nginx-light)")
    folder.chmod(0o711)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, upstream=upstream, port=port))
    process = Started([binary, "-c", str(config)], GATEWAY_CORE, folder, "nginx", {})
    return _ready(Gateway("nginx", port, process, note="a plain proxy that knows nothing of models"), 10)


COMPORTA_CONFIG = """
providers:
  mock:
    kind: openai
    base_url: http://127.0.0.1:{upstream}/v1
    api_key: sk-bench-upstream
routes:
{routes}
models:
{models}
logging:
  level: warning
"""


class Comporta(Gateway):
    """The product as `comporta serve` runs it: virtual key, price, full content, recorded to its own PostgreSQL."""

    def settled(self) -> None:
        pin_postgres(self.process.pid, LOAD_CORE)
        super().settled()

    def idle(self) -> bool:
        return bool(_json(f"http://127.0.0.1:{self.port}/health/ready")["spool_bytes"] == 0)

    def recorded(self) -> int:
        """Records that reached the database so far."""
        with urllib.request.urlopen(self._metrics, timeout=10) as answer:
            found = re.search(rb"^comporta_records_shipped_total (\S+)", answer.read(), re.MULTILINE)
        return int(float(found[1])) if found else 0

    @property
    def _metrics(self) -> urllib.request.Request:
        headers = {"Authorization": f"Bearer {self._key}"}
        return urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics", headers=headers)


def comporta_config(template: str, upstream: int) -> str:
    routes = "\n".join(f"  {name}: {{model: mock/{name}}}" for name in MODELS)
    models = "\n".join(f"  mock/{name}: {{price: {{input: $1, output: $4}}}}" for name in MODELS)
    return template.format(upstream=upstream, routes=routes, models=models)


def comporta(folder: Path, upstream: int) -> Comporta:
    port = free_port()
    home = folder / "c"
    config = folder / "comporta.yaml"
    config.write_text(comporta_config(COMPORTA_CONFIG, upstream))
    serve = [sys.executable, "-m", "comporta.cli.main"]
    argv = [*serve, "serve", "--data", str(home), "--port", str(port), "--config", str(config)]
    folder.chmod(0o711)
    process = Started(argv, GATEWAY_CORE, folder, "comporta", {})
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: _up(f"{url}/health/ready"), process, 60)
    key = _made_key(url, (home / "admin.key").read_text().strip())
    note = (
        "as `comporta serve` runs it, with all that exists on: virtual key, route, price, full content recorded to "
        "PostgreSQL, which runs on the load's core"
    )
    gateway = Comporta("comporta", port, process, key=key, note=note)
    wait_for(lambda: answers(gateway), process, 20)
    gateway.settled()
    return gateway


def _made_key(url: str, admin_key: str) -> str:
    body = json.dumps({"name": "bench", "team": "bench", "environment": "load"}).encode()
    headers = {"Authorization": f"Bearer {admin_key}", "Content-Type": "application/json"}
    asked = urllib.request.Request(f"{url}/admin/keys", data=body, headers=headers, method="POST")
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return str(json.loads(answer.read())["secret"])


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def _up(url: str) -> bool:
    try:
        _json(url)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return True


#: What its pages on production and on benchmarks advise, and no database: nothing but proxying and one key.
_LITELLM = """
model_list:
{models}
litellm_settings:
  set_verbose: false
  request_timeout: 600
  num_retries: 0
  callbacks: []
general_settings:
  master_key: sk-bench-master
"""
_LITELLM_MODEL = """  - model_name: {name}
    litellm_params: {{model: openai/{name}, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-bench{more}}}"""
_LITELLM_ENV = {
    "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False", "DISABLE_ADMIN_UI": "True",
}  # fmt: skip


def litellm(folder: Path, upstream: int) -> Gateway:
    port = free_port()
    config = folder / "litellm.yaml"
    models = "\n".join(_LITELLM_MODEL.format(name=name, upstream=upstream, more="") for name in MODELS)
    config.write_text(_LITELLM.format(models=models))
    argv = [
        str(LITELLM.bin / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port),
        "--num_workers", "1", "--run_granian",
    ]  # fmt: skip
    process = Started(argv, GATEWAY_CORE, folder, "litellm", _LITELLM_ENV)
    version = LITELLM.version("litellm")
    note = f"{version}, one worker on granian (uvicorn is no faster), no database, no callbacks, no logs"
    return _ready(Gateway("litellm", port, process, key="sk-bench-master", note=note), 90)


_TENSORZERO = """
[gateway]
observability.enabled = false
"""
_TENSORZERO_MODEL = """
[models."{name}"]
routing = ["mock"]
[models."{name}".providers.mock]
type = "openai"
model_name = "{name}"
api_base = "http://127.0.0.1:{upstream}/v1/"
api_key_location = "none"
"""


def tensorzero(folder: Path, upstream: int) -> Gateway:
    config = folder / "tensorzero.toml"
    models = "".join(_TENSORZERO_MODEL.format(name=name, upstream=upstream) for name in MODELS)
    config.write_text(_TENSORZERO + models)
    argv = [str(TENSORZERO.bin / "python"), str(BENCH / "gauge" / "tensorzero_gateway.py"), str(config)]
    process = Started(argv, GATEWAY_CORE, folder, "tensorzero", {})
    told: list[str] = []

    def has_told() -> bool:
        told.extend(line for line in process.log.read_text().splitlines() if line.startswith('{"base_url"'))
        return bool(told)

    wait_for(has_told, process, 60)
    base = urlsplit(str(json.loads(told[0])["base_url"]))
    note = (
        f"{TENSORZERO.version('tensorzero')}, the gateway inside its Python wheel, served on loopback and not the "
        "release binary; recording off"
    )
    path = base.path.rstrip("/") + "/chat/completions"
    gateway = Gateway(
        "tensorzero", base.port or 80, process, path=path, prefix="tensorzero::model_name::", note=note
    )  # fmt: skip
    return _ready(gateway, 20)


Start = Callable[[Path, int], Gateway]
#: In the order of the table. The mock itself, `direct`, comes before all of them.
STARTS: dict[str, Start] = {
    "nginx": nginx, "bare": bare, "comporta": comporta, "tensorzero": tensorzero, "litellm": litellm,
}  # fmt: skip
