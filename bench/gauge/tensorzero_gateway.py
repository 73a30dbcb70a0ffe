"""Runs in TensorZero's own virtual environment: its gateway on a port of its choosing, told as a line of JSON.

`python tensorzero_gateway.py CONFIG`. It stands alone: nothing of the bench is installed there.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

warnings.simplefilter("ignore")

from openai import OpenAI  # noqa: E402
from tensorzero import patch_openai_client  # type: ignore[import-not-found]  # noqa: E402

if __name__ == "__main__":
    client = OpenAI(api_key="none")
    patch_openai_client(client, config_file=sys.argv[1], clickhouse_url=None, async_setup=False)
    sys.stdout.write(json.dumps({"base_url": str(client.base_url)}) + "\n")
    sys.stdout.flush()
    while True:
        time.sleep(3600)
