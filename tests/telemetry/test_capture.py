"""What is kept of content in each mode."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec

from comporta.telemetry.capture import Capture, size_of
from comporta.telemetry.scrubbing import Scrubber
from comporta.types import (
    Audio,
    Choice,
    File,
    Image,
    Input,
    Message,
    Other,
    Part,
    Reply,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

PIXELS = bytes(range(256)) * 20
DATA = base64.b64encode(PIXELS).decode()
DIGEST = hashlib.sha256(PIXELS).hexdigest()


def asked(*parts: Part) -> Input:
    return Input(messages=(Message("system", (Text("Be brief."),)), Message("user", parts)), raw={"any": DATA})


def kept(input: Input, mode: Any) -> Any:
    text = Capture(Scrubber()).prompt(input, mode)
    return None if text is None else msgspec.json.decode(text)


def test_full_can_be_read_back_as_what_was_asked() -> None:
    call, result = ToolCall("t1", "look", '{"at": "sluice"}'), ToolResult("t1", (Text("dry"),))
    input = Input(
        messages=(Message("user", (Text("Hi"),)), Message("assistant", (call,)), Message("tool", (result,))),
        tools=(Tool("look"),), temperature=0.2, stop=("x",), extra={"seed_phrase": "a b"}, wire="openai.chat",
    )  # fmt: skip
    text = Capture(Scrubber()).prompt(input, "full")
    assert text is not None
    assert msgspec.json.decode(text, type=Input) == input


def test_images_sound_and_files_are_kept_as_type_size_and_hash_wherever_they_stand() -> None:
    url = f"data:image/png;base64,{DATA}"
    input = asked(
        Image(data=DATA, media_type="image/png"), Audio(DATA, "wav"), File(data=DATA, media_type="application/pdf"),
        ToolResult("t", (Image(data=DATA, media_type="image/gif"),)), Other("openai.chat", {"deep": [{"url": url}]}),
    )  # fmt: skip
    input = input.edit(extra={"prediction": {"audio": DATA}}, raw={"messages": url})
    text = Capture(Scrubber()).prompt(input, "full") or ""
    assert DATA[:100] not in text
    assert text.count(DIGEST) == 6
    assert text.count(f'"bytes":{len(PIXELS)}') == 6
    for media_type in ("image/png", "audio/wav", "application/pdf", "image/gif"):
        assert media_type in text


def test_long_prose_is_no_blob() -> None:
    prose = "word " * 500
    assert prose in str(kept(asked(Other("w", {"text": prose})), "full"))


def test_an_image_in_a_reply_is_not_kept_inline() -> None:
    reply = Reply(choices=(Choice(0, text="Look", extra={"images": [f"data:image/png;base64,{DATA}"]}),))
    text = Capture(Scrubber()).reply(reply, "full") or ""
    assert DIGEST in text
    assert DATA[:100] not in text
    assert '"Look"' in text


def test_a_preview_is_the_first_200_characters_of_each_message() -> None:
    assert kept(asked(Text("a" * 500)), "preview") == [
        {"text": "Be brief.", "length": 9, "role": "system"},
        {"text": "a" * 200, "length": 500, "role": "user"},
    ]
    reply = Capture(Scrubber()).reply(Reply(choices=(Choice(0, text="b" * 300),)), "preview")
    assert msgspec.json.decode(reply or "") == [{"text": "b" * 200, "length": 300}]


def test_a_secret_across_the_cut_of_a_preview_leaves_nothing_behind() -> None:
    secret = "sk-abcdefghijklmnopqrstuvwxyz0123456789"
    text = str(kept(asked(Text(" " * 190 + secret)), "preview"))
    assert "sk-" not in text


def test_hashed_keeps_hash_and_length_and_not_a_word() -> None:
    image = Image(data=DATA, media_type="image/png")
    found = kept(asked(Text("Olá"), image), "hashed")
    assert found[1:] == [
        {"type": "text", "length": 3, "sha256": hashlib.sha256("Olá".encode()).hexdigest(), "role": "user"},
        {"type": "image", "length": len(PIXELS), "sha256": DIGEST, "role": "user"},
    ]
    reply = Capture(Scrubber()).reply(Reply(choices=(Choice(0, text="Sim"),)), "hashed") or ""
    assert hashlib.sha256(b"Sim").hexdigest() in reply
    assert "Sim" not in reply


def test_off_keeps_nothing() -> None:
    assert kept(asked(Text("x")), "off") is None
    assert Capture(Scrubber()).reply(Reply(choices=(Choice(0, text="y"),)), "off") is None


def test_a_route_says_for_itself_what_is_kept() -> None:
    capture = Capture(Scrubber(), "preview", {"medical": "off"})
    assert capture.mode("medical") == "off"
    assert capture.mode("support") == "preview"


def test_the_size_of_text_is_in_bytes_and_leaves_images_out() -> None:
    assert size_of(asked(Text("Olá"), Image(data=DATA))) == len(b"Be brief.") + 4
    assert size_of(Input(texts=("abc", (1, 2, 3)))) == 3 + 12
