"""`comporta call`: ask a model from the terminal, streamed."""

from __future__ import annotations

import base64
import json
import mimetypes
import sys
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import typer

from comporta.cli.gate import Gate, find
from comporta.cli.shown import AS_JSON, DATA, note, say, say_json
from comporta.cli.written import json_pairs
from comporta.errors import BadRequest, ComportaError

#: A model that thinks may be silent for long; the gate's own time limits end a call before this one.
_SILENCE_S = 620.0
_LARGEST_FILE = 20 * 1024 * 1024

PROMPT = typer.Argument(None, help="What to ask; what is piped in is put behind it.")
MODEL = typer.Option("default", "--model", "-m", envvar="COMPORTA_MODEL", help="A route, a model or provider/model.")
SYSTEM = typer.Option(None, "--system", "-s", help="The system text.")
FILE = typer.Option([], "--file", "-f", exists=True, dir_okay=False, help="A text file or PDF to send along.")
IMAGE = typer.Option([], "--image", "-i", help="An image to send along: a file or a URL.")
PARAM = typer.Option([], "--param", help="A parameter of the call, as name=value: temperature=0.2; several times.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    app.command(name, help=summary)(_call)


def _call(
    prompt: str | None = PROMPT,
    model: str = MODEL,
    system: str | None = SYSTEM,
    file: list[Path] = FILE,
    image: list[str] = IMAGE,
    param: list[str] = PARAM,
    session: str | None = typer.Option(None, help="Keep calls of this name on one variant."),
    usage: bool = typer.Option(False, "--usage", "-u", help="Tell model, tokens and cost on standard error."),
    stream: bool = typer.Option(True, "--stream/--no-stream", help="Show the answer as it comes."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    content = _content(_asked(prompt), file, image)
    system_part = [{"role": "system", "content": system}] if system else []
    body: dict[str, Any] = {"model": model, "messages": [*system_part, {"role": "user", "content": content}]}
    if session:
        body["metadata"] = {"session_id": session}
    body |= json_pairs(param, "--param")
    gate = find(data, timeout_s=_SILENCE_S)
    if as_json:
        say_json(_plain(gate, body)[0])
    elif stream:
        _streamed(gate, body, usage)
    else:
        _whole(gate, body, usage)


def _asked(prompt: str | None) -> str:
    """The prompt with what is piped in behind it: `git diff | comporta call "Review this"`."""
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read().strip()
    parts = [part for part in (prompt, piped) if part]
    if not parts:
        raise typer.BadParameter("give a prompt, or pipe one in", param_hint="PROMPT")
    return "\n\n".join(parts)


def _content(text: str, files: list[Path], images: list[str]) -> str | list[dict[str, Any]]:
    parts = [*map(_file_part, files), *map(_image_part, images)]
    return [*parts, {"type": "text", "text": text}] if parts else text


def _file_part(path: Path) -> dict[str, Any]:
    raw = _read(path)
    if path.suffix.lower() == ".pdf":
        data = f"data:application/pdf;base64,{base64.b64encode(raw).decode()}"
        return {"type": "file", "file": {"filename": path.name, "file_data": data}}
    try:
        return {"type": "text", "text": f"{path.name}:\n\n{raw.decode()}"}
    except UnicodeDecodeError:
        raise BadRequest(f"{path} is neither text nor a PDF; images go with --image.") from None


def _image_part(place: str) -> dict[str, Any]:
    if place.startswith(("http://", "https://", "data:")):
        return {"type": "image_url", "image_url": {"url": place}}
    media_type = mimetypes.guess_type(place)[0] or ""
    if not media_type.startswith("image/"):
        raise BadRequest(f"{place} is not named like an image (.png, .jpg, .webp, .gif).")
    data = base64.b64encode(_read(Path(place))).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise BadRequest(f"{path} is larger than {_LARGEST_FILE // 1024 // 1024} MiB.")
        return path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{path} can't be read: {error.strerror}.") from None


def _plain(gate: Gate, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The whole reply and its headers, in lower case."""
    with gate.exchange("POST", "/v1/chat/completions", body) as answer:
        return json.loads(answer.read()), {name.lower(): value for name, value in answer.getheaders()}


def _whole(gate: Gate, body: dict[str, Any], usage: bool) -> None:
    reply, headers = _plain(gate, body)
    message = reply["choices"][0]["message"]
    say(message.get("content") or message.get("refusal") or json.dumps(message.get("tool_calls"), indent=2))
    if usage:
        cost = headers.get("x-comporta-cost-usd")
        _tell_usage(headers, reply.get("usage") or {}, None if cost is None else float(cost))


def _streamed(gate: Gate, body: dict[str, Any], usage: bool) -> None:
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    counted: dict[str, Any] = {}
    wrote = ""
    with gate.exchange("POST", "/v1/chat/completions", body) as answer:
        headers = {name.lower(): value for name, value in answer.getheaders()}
        for chunk in _chunks(answer):
            counted = chunk.get("usage") or counted
            wrote = _show(chunk) or wrote
    if not wrote.endswith("\n"):
        say("")
    if usage:
        _tell_usage(headers, counted, counted.get("cost"))


def _chunks(answer: HTTPResponse) -> Iterator[dict[str, Any]]:
    """The frames of the stream. Raises ComportaError for an error among them, and for an end before the end."""
    try:
        for line in answer:
            data = line.strip()
            if data == b"data: [DONE]":
                return
            if data.startswith(b"data:"):
                chunk = json.loads(data[5:])
                if "error" in chunk:
                    sys.stdout.write("\n")
                    raise ComportaError(str(chunk["error"].get("message", chunk["error"])))
                yield chunk
    except (OSError, HTTPException, ValueError) as error:
        raise ComportaError(f"The answer broke off ({type(error).__name__}).", code="cut") from None
    raise ComportaError("The answer broke off before its end.", code="cut")


def _show(chunk: dict[str, Any]) -> str:
    """Write what a frame adds to the first choice; what was written."""
    text = ""
    for choice in chunk.get("choices", ()):
        delta = choice.get("delta", {})
        if choice.get("index", 0) == 0:
            text += delta.get("content") or delta.get("refusal") or ""
    sys.stdout.write(text)
    sys.stdout.flush()
    return text


def _tell_usage(headers: dict[str, str], usage: dict[str, Any], cost_usd: float | None) -> None:
    model = f"{headers.get('x-comporta-provider', '?')}/{headers.get('x-comporta-model', '?')}"
    tokens = f"{usage.get('prompt_tokens', '?')} tokens in, {usage.get('completion_tokens', '?')} out"
    cost = "cost unknown" if cost_usd is None else f"${cost_usd:.6f}"
    note(f"{model} · {tokens} · {cost} · call {headers.get('x-comporta-call', '?')}")
