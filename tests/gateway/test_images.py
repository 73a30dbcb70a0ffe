"""Images are judged by what they are, shrunk where wished, fetched where needed; calls without any pay nothing."""

from __future__ import annotations

import base64
import io
import struct
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image as Picture
from pydantic import ValidationError

from comporta.errors import BadRequest
from comporta.gateway.images import ImagesPolicy, ImagesSection, has_images, images_stage, policy_of
from comporta.gateway.pictures import FORMATS, checked
from comporta.pipeline import Call, replay
from comporta.routing.settings import RouteImagesSection
from comporta.types import Caller, Event, Image, Input, Message, Part, Text, ToolResult

SHRINK = ImagesPolicy(shrink=True, shrink_to_px=64)


def picture(name: str = "PNG", size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: Any) -> bytes:
    """A real file: left half red, right half blue, where the mode has colours."""
    drawn = Picture.new("RGB", size, (220, 20, 20))
    drawn.paste((20, 20, 220), (size[0] // 2, 0, size[0], size[1]))
    out = io.BytesIO()
    drawn.convert(mode).save(out, name, **options)
    return out.getvalue()


def animated(name: str) -> bytes:
    frames = [Picture.new("RGB", (200, 100), (shade, 0, 0)) for shade in (0, 120, 240)]
    out = io.BytesIO()
    frames[0].save(out, name, save_all=True, append_images=frames[1:])
    return out.getvalue()


def opened(content: bytes) -> Picture.Image:
    image = Picture.open(io.BytesIO(content))
    image.load()
    return image


def inline(content: bytes, media_type: str | None = "image/png", **more: Any) -> Image:
    return Image(data=base64.b64encode(content).decode(), media_type=media_type, **more)


def call_with(*parts: Part) -> Call:
    messages = (Message("system", (Text("look"),)), Message("user", (Text("see:"), *parts)))
    asked = Input(messages=messages, wire="openai.chat", raw={"model": "m"})
    return Call(kind="chat", input=asked, model="m", caller=Caller("k"))


async def no_fetch(url: str, max_bytes: int) -> tuple[bytes, str]:
    raise AssertionError("nothing is fetched here")


async def run(call: Call, policy: ImagesPolicy | None = None, fetch: Any = no_fetch, needs_data: bool = False) -> Part:
    """The last part of the call after the stage."""
    stage = images_stage(lambda _: policy or ImagesPolicy(), fetch, lambda _: needs_data)
    await stage(call, done)
    return call.input.messages[-1].parts[-1]


async def done(call: Call) -> AsyncIterator[Event]:
    return replay(())


async def refused(part: Part, policy: ImagesPolicy | None = None, **more: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        await run(call_with(part), policy, **more)
    assert caught.value.status == 400
    return caught.value


def data_of(part: Part) -> bytes:
    assert isinstance(part, Image)
    assert part.data is not None
    return base64.b64decode(part.data)


@pytest.mark.parametrize("name", FORMATS.values())
async def test_a_sound_image_passes_and_leaves_the_body_untouched(name: str) -> None:
    """WIRE 23."""
    call = call_with(inline(picture(name), f"image/{name.lower()}"))
    before = call.input
    await run(call)
    assert call.input is before


@pytest.mark.parametrize("label", ["image/png", "image/jpg", None, "text/html"])
async def test_the_format_is_told_by_the_content_and_a_wrong_label_is_mended(label: str | None) -> None:
    part = await run(call_with(inline(picture("JPEG"), label, detail="low")))
    assert part == inline(picture("JPEG"), "image/jpeg", detail="low")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image_format"), (b"hello", "image_format"),
        (b"%PDF-1.7", "image_format"), (picture("BMP"), "image_format"), (picture("TIFF"), "image_format"),
        (picture("PNG", (300, 300))[:-200], "image_invalid"), (picture("JPEG", (300, 300))[:400], "image_invalid"),
        (picture("WEBP", (300, 300))[:-60], "image_invalid"), (picture("GIF", (300, 300))[:-200], "image_invalid"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, "image_"), (b"GIF89a", "image_"),
    ],
)  # fmt: skip
async def test_what_is_no_whole_image_is_refused_with_its_place(content: bytes, code: str) -> None:
    """WIRE 23."""
    error = await refused(inline(content))
    assert error.code.startswith(code)
    assert error.param == "messages[1].content[1]"


@pytest.mark.parametrize("text", ["not base64!", "AAAAA", "é", "", "====", "data:image/png;base64,AAAA"])
async def test_bad_base64_is_refused(text: str) -> None:
    assert (await refused(Image(data=text, media_type="image/png"))).code == "image_invalid"


async def test_base64_with_line_breaks_is_read() -> None:
    text = base64.encodebytes(picture()).decode()
    assert "\n" in text
    assert await run(call_with(Image(data=text, media_type="image/png"))) is not None


async def test_an_image_in_no_form_at_all_is_refused() -> None:
    assert (await refused(Image(), needs_data=True)).param == "messages[1].content[1]"


async def test_a_format_that_the_policy_leaves_out_is_refused_by_content() -> None:
    error = await refused(inline(picture("GIF"), "image/png"), ImagesPolicy(formats=("png", "jpeg")))
    assert (error.code, "png, jpeg" in error.message) == ("image_format", True)


async def test_an_image_of_too_many_bytes_is_refused_before_it_is_decoded() -> None:
    """WIRE 23."""
    small = ImagesPolicy(max_bytes=1000)
    assert (await refused(Image(data="A" * 8_000_000, media_type="image/png"), small)).code == "image_too_large"
    sound = picture("BMP", (20, 20))
    assert (await refused(inline(sound + b"x" * (1001 - len(sound))), small)).code == "image_too_large"
    exact = picture("PNG", (8, 8))
    assert await run(call_with(inline(exact)), ImagesPolicy(max_bytes=len(exact))) is not None
    assert (await refused(inline(exact), ImagesPolicy(max_bytes=len(exact) - 1))).code == "image_too_large"


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says it has so many pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\x00" * 3_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(7000, 7000), (12_000, 9000), (60_000, 60_000)])
async def test_a_decompression_bomb_is_refused_at_once(size: tuple[int, int]) -> None:
    """WIRE 23."""
    began = time.perf_counter()
    assert (await refused(inline(bomb(*size)))).code == "image_too_large"
    # To unpack what the header promises takes longer than anybody waits.
    assert time.perf_counter() - began < 20


async def test_pixels_are_counted_as_width_times_height() -> None:
    assert (await refused(inline(picture("PNG", (40, 30))), ImagesPolicy(max_pixels=1199))).code == "image_too_large"
    assert await run(call_with(inline(picture("PNG", (40, 30)))), ImagesPolicy(max_pixels=1200)) is not None


async def test_images_inside_tool_results_are_checked_too() -> None:
    error = await refused(ToolResult("c", (Text("x"), Image(data="!!", media_type="image/png"))))
    assert error.param == "messages[1].content[1].content[1]"
    part = await run(call_with(ToolResult("c", (inline(picture("PNG", (200, 100))),))), SHRINK)
    assert isinstance(part, ToolResult)
    assert opened(data_of(part.parts[0])).size == (64, 32)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "1"),
     ("PNG", "LA"), ("PNG", "I;16"), ("WEBP", "RGB"), ("WEBP", "RGBA"), ("GIF", "P"), ("GIF", "L")],
)  # fmt: skip
async def test_a_large_image_is_shrunk_in_its_own_format(name: str, mode: str) -> None:
    content = picture(name, (300, 200), mode if mode != "I;16" else "L")
    if mode == "I;16":
        out = io.BytesIO()
        Picture.new("I;16", (300, 200), 40_000).save(out, "PNG")
        content = out.getvalue()
    part = await run(call_with(inline(content, f"image/{name.lower()}", detail="high")), SHRINK)
    small = opened(data_of(part))
    assert (small.format, small.size) == (name, (64, 43))
    assert isinstance(part, Image)
    assert (part.media_type, part.detail) == (f"image/{name.lower()}", "high")
    left, right = small.convert("RGB").getpixel((5, 20)), small.convert("RGB").getpixel((58, 20))
    if mode == "I;16":
        assert left == right == (156, 156, 156)
    elif mode in {"RGB", "RGBA", "P", "CMYK"} and name != "GIF":
        assert left[0] > 150 > left[2]  # type: ignore[index]
        assert right[2] > 150 > right[0]  # type: ignore[index]
    else:
        assert left != right


async def test_a_shrunk_body_is_no_longer_the_clients_own() -> None:
    call = call_with(inline(picture("PNG", (200, 100))))
    await run(call, SHRINK)
    assert call.input.raw is None
    assert call.input.messages[0].text == "look"


async def test_small_and_unwished_images_are_not_shrunk() -> None:
    for policy, size in ((SHRINK, (64, 64)), (ImagesPolicy(shrink_to_px=64), (200, 100))):
        content = picture("PNG", size)
        assert data_of(await run(call_with(inline(content)), policy)) == content


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
async def test_an_animated_image_is_left_as_it_is(name: str) -> None:
    content = animated(name)
    assert data_of(await run(call_with(inline(content, f"image/{name.lower()}")), SHRINK)) == content


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
async def test_a_shrunk_image_stands_upright(name: str) -> None:
    exif = Picture.Exif()
    exif[0x0112] = 6
    content = picture(name, (300, 200), exif=exif)
    small = opened(data_of(await run(call_with(inline(content, f"image/{name.lower()}")), SHRINK)))
    assert small.size == (43, 64)
    assert small.getexif().get(0x0112, 1) == 1
    top, bottom = small.getpixel((20, 5)), small.getpixel((20, 58))
    assert top[0] > 150 > top[2]  # type: ignore[index]
    assert bottom[2] > 150 > bottom[0]  # type: ignore[index]


async def test_a_jpeg_of_several_pictures_is_a_jpeg() -> None:
    first, second = opened(picture("JPEG", (200, 100))), opened(picture("JPEG", (200, 100)))
    out = io.BytesIO()
    first.save(out, "MPO", save_all=True, append_images=[second])
    assert checked(out.getvalue(), ImagesPolicy()).media_type == "image/jpeg"
    assert opened(data_of(await run(call_with(inline(out.getvalue(), "image/jpeg")), SHRINK))).format == "JPEG"


# ---- URLs -----------------------------------------------------------------------------------------------------------


class Web:
    """A fetch that counts."""

    def __init__(self, content: bytes = b"", error: BadRequest | None = None) -> None:
        self.asked: list[tuple[str, int]] = []
        self._content, self._error = content, error

    async def __call__(self, url: str, max_bytes: int) -> tuple[bytes, str]:
        self.asked.append((url, max_bytes))
        if self._error is not None:
            raise self._error
        return self._content, "image/png"


async def test_a_url_is_left_to_a_provider_that_takes_urls() -> None:
    part = Image(url="https://a.example/x.png")
    assert await run(call_with(part)) is part


async def test_a_url_is_fetched_checked_and_sent_inline_where_the_provider_takes_none() -> None:
    web = Web(picture("JPEG", (200, 100)))
    cache_control = {"type": "ephemeral"}
    part = await run(
        call_with(Image(url="https://a.example/x.png", cache_control=cache_control)), SHRINK, web, needs_data=True
    )
    assert isinstance(part, Image)
    assert (part.url, part.media_type, part.cache_control) == (None, "image/jpeg", cache_control)
    assert opened(data_of(part)).size == (64, 32)
    assert web.asked == [("https://a.example/x.png", SHRINK.max_bytes)]


async def test_what_a_url_leads_to_is_checked_and_its_failure_has_a_place() -> None:
    error = await refused(Image(url="http://a.example"), None, fetch=Web(b"<html>"), needs_data=True)
    assert (error.code, error.param) == ("image_format", "messages[1].content[1]")
    gone = Web(error=BadRequest("gone", code="image_url_unreadable"))
    assert (await refused(Image(url="http://a.example"), fetch=gone, needs_data=True)).param == "messages[1].content[1]"


async def test_addresses_that_only_the_provider_understands_are_not_fetched() -> None:
    part = Image(url="gs://bucket/x.png")
    assert await run(call_with(part), None, Web(), needs_data=True) is part


async def test_a_fallback_does_not_fetch_and_decode_the_same_images_again() -> None:
    web, policy = Web(picture()), ImagesPolicy()
    stage = images_stage(lambda _: policy, web, lambda _: True)
    call = call_with(Image(url="https://a.example/x.png"))
    await stage(call, done)
    after = call.input
    await stage(call, done)
    assert len(web.asked) == 1
    assert call.input is after


# ---- configuration, cost --------------------------------------------------------------------------------------------


def test_a_route_overrides_what_the_section_says() -> None:
    section = ImagesSection.model_validate({"max_bytes": "2MB", "formats": ["JPG", "png"], "shrink": True})
    assert policy_of(section) == ImagesPolicy(2_000_000, formats=("jpeg", "png"), shrink=True)
    assert policy_of(ImagesSection(), RouteImagesSection(shrink=True)).shrink
    assert policy_of(section, RouteImagesSection(max_bytes=5, shrink=True)).max_bytes == 5
    assert policy_of(ImagesSection()) == ImagesPolicy()


@pytest.mark.parametrize(
    "wrong", [{"formats": []}, {"formats": ["svg"]}, {"max_bytes": 0}, {"max_pixels": -1}, {"shrink_to_px": 3}]
)
def test_a_section_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImagesSection.model_validate(wrong)


async def test_a_call_without_images_asks_for_no_policy_and_costs_next_to_nothing() -> None:
    def never(call: Call) -> Any:
        raise AssertionError("no image, no question")

    call = call_with(Text("more"), ToolResult("c", (Text("x"),)))
    await images_stage(never, no_fetch, never)(call, done)
    messages = call.input.messages
    best_s = min(_timed(messages) for _ in range(20))
    # The aim is 2 µs on an idle machine; to look into one image takes thousands of them.
    assert best_s < 100e-6


def _timed(messages: tuple[Message, ...]) -> float:
    began = time.perf_counter()
    for _ in range(100):
        has_images(messages)
    return (time.perf_counter() - began) / 100
