"""The console's own style and scripts: files that browsers keep for good, under a name that changes with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

WEB = Path(__file__).parent / "web"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: Those that pages name by their address; components are served by the interface itself.
_NAMES = ("console.css", "theme.js", "console.js", "favicon.svg")


class Assets:
    """Read once, at the start."""

    def __init__(self, folder: Path = WEB) -> None:
        self._texts = {name: (folder / name).read_bytes() for name in _NAMES}
        #: The address of each.
        self.places: Mapping[str, str] = {
            name: f"/web/{hashlib.sha256(text).hexdigest()[:12]}/{name}" for name, text in self._texts.items()
        }

    def routes(self) -> list[Route]:
        return [Route("/web/{mark}/{name}", self._give), Route("/favicon.ico", self._icon)]

    async def _give(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._texts:
            return Response("There is no such file.", 404)
        return self._file(name)

    async def _icon(self, _: Request) -> Response:
        return self._file("favicon.svg")

    def _file(self, name: str) -> Response:
        kept = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(self._texts[name], media_type=_TYPES[Path(name).suffix], headers=kept)
