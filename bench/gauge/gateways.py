"""The gateways that are measured: how each is started in front of the mock, and where it then is."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from gauge.gateway import HERE, Gateway, mock, ready
from gauge.installing import BENCH, LITELLM, TENSORZERO
from gauge.ours import COMPORTA_CONFIG, Comporta, comporta_config
from gauge.ours import start as comporta
from gauge.processes import GATEWAY_CORE, Started, free_port, wait_for
from gauge.words import MODELS

__all__ = ["COMPORTA_CONFIG", "STARTS", "Comporta", "Gateway", "comporta", "comporta_config", "mock"]


def bare(folder: Path, upstream: int) -> Gateway:
    port = free_port()
    argv = [sys.executable, "-m", "gauge.bare", str(port), str(upstream)]
    process = Started(argv, GATEWAY_CORE, folder, "bare", HERE)
    return ready(Gateway("bare", port, process, note="granian and aiohttp alone, written in bench/gauge/bare.py"), 20)


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
    return ready(Gateway("nginx", port, process, note="a plain proxy that knows nothing of models"), 10)


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
    newest = LITELLM.published()
    version += f" (newest published: {newest}, whose requirements pip can't meet here)" if newest != version else ""
    note = (
        f"{version}, one worker on granian (uvicorn is no faster), production mode, no database, no callbacks, no "
        "logs; its Rust path does not serve OpenAI's wire"
    )
    return ready(Gateway("litellm", port, process, key="sk-bench-master", note=note), 90)


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
    return ready(gateway, 20)


Start = Callable[[Path, int], Gateway]
#: In the order of the table. The mock itself, `direct`, comes before all of them.
STARTS: dict[str, Start] = {
    "nginx": nginx, "bare": bare, "comporta": comporta, "tensorzero": tensorzero, "litellm": litellm,
}  # fmt: skip
