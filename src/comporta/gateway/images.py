"""The stage `images`: every image of a call is decoded and checked, shrunk where wished, fetched where needed."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec import structs
from pydantic import Field, field_validator

from comporta.config.section import Section
from comporta.config.values import Size
from comporta.errors import BadRequest
from comporta.gateway.pictures import FORMATS, Checked, ImagesPolicy, checked, decoded
from comporta.pipeline import Call, Next, Only, Stage
from comporta.routing.settings import RouteImagesSection
from comporta.types import Event, Image, Message, Part, ToolResult

__all__ = ["Fetch", "ImagesPolicy", "ImagesSection", "images_stage", "policy_of"]

#: `(url, max_bytes) -> (content, media type as the server says)`; raises BadRequest.
Fetch = Callable[[str, int], Awaitable[tuple[bytes, str]]]

#: Images decoded at the same time: each may need 150 MB for as long as it takes.
_AT_ONCE = 2
_DEFAULT = ImagesPolicy()


class ImagesSection(Section):
    """Limits on images, for every route that sets none of its own."""

    max_bytes: Size = Field(_DEFAULT.max_bytes, gt=0, description="Largest image, decoded.")
    max_pixels: int = Field(_DEFAULT.max_pixels, gt=0, description="Most pixels, width times height.")
    formats: tuple[str, ...] = Field(
        _DEFAULT.formats, min_length=1, description="Formats that may be sent: jpeg, png, webp, gif."
    )
    shrink: bool = Field(False, description="Shrink larger images before they are sent (animated ones stay).")
    shrink_to_px: int = Field(_DEFAULT.shrink_to_px, ge=16, description="The longest side after shrinking, in pixels.")

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        formats = tuple({"jpg": "jpeg"}.get(name.lower(), name.lower()) for name in formats)
        if not set(formats) <= set(FORMATS):
            raise ValueError(f"must be among {', '.join(FORMATS)}")
        return formats


def policy_of(section: ImagesSection, route: RouteImagesSection | None = None) -> ImagesPolicy:
    """What holds on a route: its own word, else the section's."""
    own = route or RouteImagesSection()
    return ImagesPolicy(
        max_bytes=own.max_bytes or section.max_bytes,
        max_pixels=section.max_pixels,
        formats=section.formats,
        shrink=section.shrink if own.shrink is None else own.shrink,
        shrink_to_px=own.shrink_to_px or section.shrink_to_px,
    )


def images_stage(policy_of: Callable[[Call], ImagesPolicy], fetch: Fetch, needs_data: Callable[[Call], bool]) -> Stage:
    """The stage. `needs_data` says whether the chosen provider takes no image by URL, so that the gate fetches it."""
    threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="images")

    async def images(call: Call, inner: Next) -> AsyncIterator[Event]:
        await _check(call, policy_of(call), fetch if needs_data(call) else None, threads)
        return await inner(call)

    return Only(lambda call: has_images(call.input.messages), images)


def has_images(messages: tuple[Message, ...]) -> bool:
    """Whether there is anything to do: the one look that a call without images pays for."""
    for message in messages:
        for part in message.parts:
            kind = type(part)
            if kind is Image or (kind is ToolResult and any(type(inner) is Image for inner in part.parts)):  # type: ignore[union-attr]
                return True
    return False


async def _check(call: Call, policy: ImagesPolicy, fetch: Fetch | None, threads: ThreadPoolExecutor) -> None:
    """Check all images of a call, once for the same messages: a fallback passes here again."""
    asked = call.input.messages
    done = call.facts.get("images")
    if done is not None and done[0] is asked and done[1:] == (policy, fetch):
        return
    look = _Look(policy, fetch, threads)
    messages = tuple([await look.message(message, f"messages[{i}]") for i, message in enumerate(asked)])
    if any(new is not old for new, old in zip(messages, asked, strict=True)):
        call.input = call.input.edit(messages=messages)
    call.facts["images"] = (call.input.messages, policy, fetch)


class _Look:
    """One call's images, one after another; what needs no change stays the same object."""

    __slots__ = ("_fetch", "_policy", "_threads")

    def __init__(self, policy: ImagesPolicy, fetch: Fetch | None, threads: ThreadPoolExecutor) -> None:
        self._policy = policy
        self._fetch = fetch
        self._threads = threads

    async def message(self, message: Message, place: str) -> Message:
        parts = await self._parts(message.parts, place)
        return message if parts is message.parts else structs.replace(message, parts=parts)

    async def _parts(self, parts: tuple[Part, ...], place: str) -> tuple[Part, ...]:
        looked = tuple([await self._part(part, f"{place}.content[{j}]") for j, part in enumerate(parts)])
        return parts if all(new is old for new, old in zip(looked, parts, strict=True)) else looked

    async def _part(self, part: Part, place: str) -> Part:
        if isinstance(part, Image):
            try:
                return await self._image(part)
            except BadRequest as error:
                error.param = place
                raise
        if isinstance(part, ToolResult):
            parts = await self._parts(part.parts, place)
            return part if parts is part.parts else structs.replace(part, parts=parts)
        return part

    async def _image(self, image: Image) -> Image:
        if image.data is not None:
            found = await self._run(_look_at_text, image.data, self._policy)
            return _changed(image, found, None)
        if image.url is None:
            raise BadRequest("The image has neither data nor a URL.", code="image_invalid")
        if self._fetch is None or not image.url.lower().startswith(("http://", "https://")):
            return image
        content, _ = await self._fetch(image.url, self._policy.max_bytes)
        return _changed(image, await self._run(checked, content, self._policy), content)

    async def _run(self, work: Callable[..., Checked], *arguments: object) -> Checked:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def _look_at_text(text: str, policy: ImagesPolicy) -> Checked:
    return checked(decoded(text, policy), policy)


def _changed(image: Image, found: Checked, fetched: bytes | None) -> Image:
    """The image with what was fetched or shrunk, and with its true format: providers refuse a wrong label."""
    content = found.content or fetched
    if content is not None:
        data = base64.b64encode(content).decode()
        return structs.replace(image, data=data, url=None, media_type=found.media_type)
    return image if image.media_type == found.media_type else structs.replace(image, media_type=found.media_type)
