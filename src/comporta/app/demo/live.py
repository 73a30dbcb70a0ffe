"""The part of the demo that goes through the gate: keys, a prompt with its versions, a rollout, calls, feedback."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
from msgspec import Struct

from comporta.app.demo.texts import TOPICS, prompt_file
from comporta.app.demo.week import TAG, Key
from comporta.errors import ComportaError

#: Method, path, body: the gate's answer. Raises ComportaError.
AskGate = Callable[[str, str, Any], Any]
#: Kinds of providers that answer by themselves, and a model of each: a demo costs nothing and needs no network.
FREE = {"offline": "extractive", "scripted": "echo"}
_TEAMS = (
    ("demo-care-chat", "care", "chat"), ("demo-care-mail", "care", "mail"), ("demo-growth", "growth", "offers"),
    ("demo-ops", "ops", "chat"),
)  # fmt: skip
_AT_ONCE = 8
_TAGS = {"commit_sha": "4f1c9e2", "author": "Ana Lima <ana@example.com>", "model_version": "demo"}
PROMPT = "courier-support"
_VERSIONS = (("1.2.0", "as it was"), ("1.3.0", "say what happens next"), ("1.4.0", "name a coupon's condition"))


class Made(Struct, frozen=True):
    """Keys with their secrets."""

    keys: list[Key]
    secrets: list[str]


def make_keys(ask: AskGate) -> Made:
    """The teams' keys, marked as a demo's."""
    keys, secrets = [], []
    for name, team, feature in _TEAMS:
        body = {"name": name, "team": team, "feature": feature, "environment": "production", "tags": {TAG: "true"}}
        found = ask("POST", "/admin/keys", body)
        keys.append(Key(found["id"], name, team, feature))
        secrets.append(found["secret"])
    return Made(keys, secrets)


def revoke_keys(ask: AskGate) -> int:
    """End the demo's keys; how many there were."""
    found = [one for one in ask("GET", "/admin/keys", None)["data"] if TAG in one["tags"]]
    for one in found:
        ask("POST", f"/admin/keys/{one['id']}/revoke", None)
    return len(found)


def free_model(ask: AskGate) -> str | None:
    """A model that costs nothing, None where the configuration has none."""
    ready = {one["kind"]: one["name"] for one in ask("GET", "/admin/status", None)["providers"] if one["ready"]}
    return next((f"{ready[kind]}/{model}" for kind, model in FREE.items() if kind in ready), None)


def release(ask: AskGate, model: str) -> None:
    """Push three versions, deploy the second, and begin to roll out the third. What is there already stays."""
    files = [
        {"name": f"{PROMPT}.yaml", "text": prompt_file(version, model), "author": "Ana Lima <ana@example.com>",
         "message": message, "commit_sha": _TAGS["commit_sha"]}
        for version, message in _VERSIONS
    ]  # fmt: skip
    for file in files:
        ask("POST", "/admin/prompts/push", {"files": [file]})
    labels = {one["environment"]: one["version"] for one in ask("GET", f"/admin/prompts/{PROMPT}", None)["labels"]}
    moves = [] if "production" in labels else [("1.2.0", "production"), ("1.3.0", "production")]
    moves += [] if labels.get("staging") == "1.4.0" else [("1.4.0", "staging")]
    for version, environment in moves:
        body = {"version": version, "environment": environment, "why": "demo", "tags": _TAGS}
        ask("POST", f"/admin/prompts/{PROMPT}/deploy", body)
    rollout = {
        "prompt": PROMPT, "label": "production", "to": {"prompt": f"{PROMPT}@1.4.0"}, "name": "demo-coupons",
        "stages": [{"share": 0.25, "min_calls": 15, "min_time_s": 10}, {"share": 0.5, "min_calls": 5000},
                   {"share": 1.0, "min_calls": 5000}],
        "guards": [{"kind": "errors"}, {"kind": "latency"}, {"kind": "score", "score": "thumbs", "margin": 0.1}],
        "tags": _TAGS, "why": "Coupons are what customers complain of most.",
    }  # fmt: skip
    ask("POST", "/admin/rollouts", rollout)


def end_rollout(ask: AskGate) -> None:
    """Bring the demo's rollout to its end, where it runs."""
    for one in ask("GET", "/admin/rollouts?live=true", None)["data"]:
        if one["name"] == "demo-coupons":
            ask("POST", f"/admin/rollouts/{one['id']}/abort", {"why": "The demo was removed."})


async def talk(url: str, made: Made, calls: int, seed: int, done: Callable[[float], None]) -> int:
    """Ask the prompt through the gate, as customers would, and judge some answers; how many were answered."""
    draw = random.Random(seed)
    work = [_visit(draw, made) for _ in range(calls)]
    answered = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        for start in range(0, len(work), _AT_ONCE):
            some: Sequence[Awaitable[bool]] = [_ask(session, url, one) for one in work[start : start + _AT_ONCE]]
            answered += sum(await asyncio.gather(*some))
            done(min(start + _AT_ONCE, len(work)) / len(work))
    return answered


class _Visit(Struct, frozen=True):
    secret: str
    body: dict[str, Any]
    thumbs: bool | None


def _visit(draw: random.Random, made: Made) -> _Visit:
    topic = draw.choices(TOPICS, [one.weight for one in TOPICS])[0]
    variables = {"question": draw.choice(topic.asked), "name": draw.choice(("Ana", "Rui", "Bia"))}
    user = f"customer-{draw.randint(0, 400):03}"
    thumbs = draw.random() < topic.pleased if draw.random() < 0.5 else None
    return _Visit(
        draw.choice(made.secrets[:2]), {"prompt": {"id": PROMPT, "variables": variables}, "user": user}, thumbs
    )


async def _ask(session: aiohttp.ClientSession, url: str, visit: _Visit) -> bool:
    headers = {"authorization": f"Bearer {visit.secret}", "x-comporta-tags": f"{TAG}=true"}
    try:
        async with session.post(f"{url}/v1/chat/completions", json=visit.body, headers=headers) as response:
            call = response.headers.get("x-comporta-call")
            if response.status >= 400 or call is None:
                return False
            await response.read()
        if visit.thumbs is not None:
            said = {"call_id": call, "thumbs": visit.thumbs}
            async with session.post(f"{url}/v1/feedback", json=said, headers=headers) as taken:
                await taken.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ComportaError(f"The gate did not answer ({type(error).__name__}).", code="gate_away") from None
    return True
