"""One image: is it what it says, is it whole, is it within the limits, and smaller where that is wished. Pure; blocks.

Everything here works on bytes from strangers: what Pillow can't read ends as a BadRequest that says why.
"""

from __future__ import annotations

import base64
import binascii
import io
import struct

from msgspec import Struct
from PIL import Image, ImageOps, UnidentifiedImageError

from comporta.errors import BadRequest

#: Pillow's name of each format that a configuration may allow. Phones write JPEGs of several pictures (MPO).
FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF"}
_OURS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}
_JPEG_QUALITY, _WEBP_QUALITY = 88, 85
#: What Pillow raises for damaged files, besides its own.
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, EOFError, OverflowError, IndexError, KeyError, struct.error)


class ImagesPolicy(Struct, frozen=True):
    """What holds for the images of a call."""

    max_bytes: int = 4 * 1024 * 1024
    max_pixels: int = 36_000_000
    formats: tuple[str, ...] = tuple(FORMATS)
    shrink: bool = False
    shrink_to_px: int = 1024


class Checked(Struct, frozen=True):
    """What an image really is; `content` is set where it was made smaller."""

    format: str
    width: int
    height: int
    content: bytes | None = None

    @property
    def media_type(self) -> str:
        return f"image/{self.format}"


def decoded(text: str, policy: ImagesPolicy) -> bytes:
    """Base64 as bytes. Raises BadRequest; text that is too long is refused before it is decoded."""
    if len(text) * 3 // 4 > policy.max_bytes + 2 + len(text) // 50:
        raise too_large(len(text) * 3 // 4, policy)
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("The image is not valid base64.", code="image_invalid") from None
    if not content:
        raise BadRequest("The image is empty.", code="image_invalid")
    return content


def too_large(size: int, policy: ImagesPolicy) -> BadRequest:
    return BadRequest(
        f"The image has {size / 1e6:.1f} MB; at most {policy.max_bytes / 1e6:.1f} MB are allowed.",
        code="image_too_large",
    )


def checked(content: bytes, policy: ImagesPolicy) -> Checked:
    """Read the whole image, to know that it is one. Raises BadRequest for everything that is wrong with it."""
    if len(content) > policy.max_bytes:
        raise too_large(len(content), policy)
    try:
        return _checked(content, policy)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadRequest(
            f"The image has more pixels than the {policy.max_pixels} that are allowed.", code="image_too_large"
        ) from None
    except UnidentifiedImageError:
        allowed = ", ".join(policy.formats)
        raise BadRequest(f"The image is in none of the formats {allowed}.", code="image_format") from None
    except MemoryError:
        raise BadRequest("The image needs more memory than there is.", code="image_too_large") from None
    except _DAMAGED:
        raise BadRequest("The image is damaged or cut off.", code="image_invalid") from None


def _checked(content: bytes, policy: ImagesPolicy) -> Checked:
    with Image.open(io.BytesIO(content), formats=[FORMATS[name] for name in policy.formats]) as image:
        width, height = image.size
        if width * height > policy.max_pixels:
            raise BadRequest(
                f"The image has {width} × {height} pixels; at most {policy.max_pixels} in all are allowed.",
                code="image_too_large",
            )
        found = Checked(_OURS[image.format or ""], width, height)
        moves = getattr(image, "is_animated", False) and image.format != "MPO"
        if not policy.shrink or max(width, height) <= policy.shrink_to_px or moves:
            image.load()
            return found
        return _shrunk(image, found.format, policy.shrink_to_px)


def _shrunk(image: Image.Image, name: str, longest_px: int) -> Checked:
    """No side longer than that, upright, in the same format."""
    profile = image.info.get("icc_profile")
    if name == "jpeg":
        # The decoder itself can leave out what won't be seen: a quarter of the time and of the memory.
        image.draft(None, (longest_px * 2, longest_px * 2))
    image.load()
    small = _plain(image)
    small.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    small = ImageOps.exif_transpose(small)
    out = io.BytesIO()
    small.save(out, FORMATS[name], **_saving(name, profile))
    return Checked(name, small.width, small.height, out.getvalue())


def _plain(image: Image.Image) -> Image.Image:
    """In a mode that LANCZOS can average: palettes, single bits and sixteen bits can't be."""
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in {"P", "PA"}:
        return image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    return image


def _saving(name: str, profile: bytes | None) -> dict[str, object]:
    options: dict[str, object] = {"icc_profile": profile} if profile and name != "gif" else {}
    match name:
        case "jpeg":
            options |= {"quality": _JPEG_QUALITY, "optimize": True}
        case "webp":
            options |= {"quality": _WEBP_QUALITY}
    return options
