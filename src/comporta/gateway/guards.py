"""`POST /v1/guard`: a text or a conversation is shown to the guards, and no model is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, structs

from comporta.errors import BadRequest, BodyTooLarge
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.doors.reading import body_of
from comporta.gateway.reading import request_id_of, secret_of
from comporta.gateway.server import Asked, Page
from comporta.guardrails.base import Place, Side
from comporta.guardrails.looking import Text
from comporta.guardrails.parts import PASSAGE, last_question, passages_of, pieces_of, system_of
from comporta.guardrails.running import Piece
from comporta.guardrails.trying import Checked, Showing
from comporta.types import Caller, Input, Message, Role
from comporta.types import Text as TextPart

MAX_BODY = 2 * 1024 * 1024
_CHAT = OpenAIChat()
_ROLES: Mapping[str, Role] = {"system": "system", "assistant": "assistant", "tool": "user"}
_Guards = Annotated[
    list[str | dict[str, Any]],
    Meta(description="Guards in place of a policy, as in a configuration: names, or objects with `type`.",
         max_length=50),
]  # fmt: skip


class GuardRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A text, or the messages of a conversation, and which guards are to look at it.

    Without `policy` and `guards`: the configuration's own, with the policy of the key.
    """

    input: Annotated[str | None, Meta(description="The text.")] = None
    messages: Annotated[
        list[dict[str, Any]] | None, Meta(description="A conversation, as OpenAI's chat completions take it.")
    ] = None
    side: Annotated[Side, Meta(description="What goes to a model, or what came from one.")] = "input"
    policy: Annotated[str | None, Meta(description="A policy by its name; `default` is the configuration's own.")] = (
        None
    )
    guards: _Guards | None = None
    place: Annotated[
        Literal["system", "user", "assistant", "tool", "passage", "name", "alt"] | None,
        Meta(description="Where the text stands: `passage` is retrieved text, `tool` what a tool gave."),
    ] = None
    question: Annotated[str | None, Meta(description="What was asked, where the text is an answer.")] = None
    context: Annotated[
        str | list[str] | None, Meta(description="What an answer should rest on: a passage, or several.")
    ] = None
    system: Annotated[str | None, Meta(description="The system's instructions.")] = None
    json_schema: Annotated[dict[str, Any] | None, Meta(description="The schema that was asked for.")] = None
    language: Annotated[str | None, Meta(description="The language that was asked for: `pt`, `es`, `en`.")] = None


class Wanted(Struct, frozen=True):
    """A request that was read: what is shown to which guards, and the same as a call's input for its record."""

    request: GuardRequest
    showing: Showing
    input: Input


def wanted_of(body: Any, caller: Caller) -> Wanted:
    """What a body asks for. Raises BadRequest that names the field."""
    try:
        request = msgspec.convert(body, GuardRequest)
    except msgspec.ValidationError as error:
        raise _refused(str(error)) from None
    if (request.input is None) == (request.messages is None):
        raise BadRequest("Give either `input`, a text, or `messages`.", param="input")
    if request.policy is not None and request.guards is not None:
        raise BadRequest("Give either `policy` or `guards`.", param="guards")
    if request.messages is not None:
        return _conversation(request, request.messages, caller)
    return _text(request, request.input or "", caller)


def _refused(said: str) -> BadRequest:
    """msgspec's sentence ends with the place: `Expected `str`, got `int` - at `$.policy``."""
    what, _, place = said.partition(" - at `$")
    field = place.strip("`").lstrip(".")
    return BadRequest(f"{field or 'the body'}: {what[:1].lower()}{what[1:]}", param=field or None)


def _text(request: GuardRequest, text: str, caller: Caller) -> Wanted:
    place: Place = request.place or ("user" if request.side == "input" else "assistant")
    passages = [request.context] if isinstance(request.context, str) else request.context or []
    around = [Message("system", (TextPart(request.system),))] if request.system else []
    around += [Message("user", (TextPart(one),), PASSAGE) for one in passages]
    around += [Message("user", (TextPart(request.question),))] if request.question else []
    name = PASSAGE if place == "passage" else None
    asked = Input(messages=(*around, Message(_ROLES.get(place, "user"), (TextPart(text),), name)))
    piece = Piece(Text(text), place, (len(around), 0))
    return Wanted(request, _showing(request, (piece,), tuple(passages), caller), asked)


def _conversation(request: GuardRequest, messages: list[dict[str, Any]], caller: Caller) -> Wanted:
    for name in ("place", "context"):
        if getattr(request, name) is not None:
            raise BadRequest(f"`{name}` goes with `input`: messages have it in themselves.", param=name)
    parsed = _CHAT.parse(msgspec.json.encode({"model": "guard", "messages": messages}), {})
    asked = structs.replace(parsed.input, raw=None, wire="")
    pieces = pieces_of(asked)
    if request.side == "output":
        pieces = tuple(piece for piece in pieces if piece.place == "assistant")
    showing = _showing(request, pieces, passages_of(asked), caller)
    return Wanted(
        request,
        structs.replace(
            showing, question=showing.question or last_question(asked), system=showing.system or system_of(asked)
        ),
        asked,
    )


def _showing(
    request: GuardRequest, pieces: tuple[Piece, ...], passages: tuple[str, ...], caller: Caller
) -> Showing:  # fmt: skip
    return Showing(
        pieces, request.question or "", passages, request.system or "", request.json_schema, request.language, caller
    )


Check = Callable[[Wanted, Caller, str], Awaitable[tuple[Checked, str]]]


class GuardPage:
    """The page. `authenticate` knows the caller, `admit` may refuse (draining), `check` asks the guards and gives their
    result with the call's id."""

    def __init__(self, authenticate: Callable[[str], Caller], admit: Callable[[], None], check: Check) -> None:
        self._authenticate = authenticate
        self._admit = admit
        self._check = check

    async def post(self, asked: Asked) -> Page:
        """200 with what the guards say, approved or not. Raises BadRequest, RateLimited, GuardFailed."""
        caller = self._authenticate(secret_of(asked.headers))
        self._admit()
        if len(asked.body) > MAX_BODY:
            raise BodyTooLarge(f"A check has up to {MAX_BODY} bytes; this has {len(asked.body)}.")
        wanted = wanted_of(body_of(asked.body), caller)
        checked, call_id = await self._check(wanted, caller, request_id_of(asked.headers) or "")
        return Page(msgspec.json.encode(told(checked, call_id)), headers=(("x-comporta-call", call_id),))


def told(checked: Checked, call_id: str) -> dict[str, Any]:
    """What is answered."""
    return {"object": "guard", "id": call_id, **msgspec.to_builtins(checked)}
