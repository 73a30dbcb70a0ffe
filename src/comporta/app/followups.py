"""Follow-ups as a gate has them: the stage and the pages, with what they ask the gate about."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from comporta.app.known import Known
from comporta.app.settings import Settings
from comporta.app.telemetry import Telemetry
from comporta.gateway.followups.kept import Kept
from comporta.gateway.followups.pages import ResponsePages
from comporta.gateway.followups.places import Places
from comporta.gateway.followups.stage import Follow
from comporta.gateway.transport import Transport
from comporta.store.database import Database
from comporta.types import Caller


class FollowUps:
    """The stage and the pages of one gate; `known` and `settings` give today's, so that a reload counts at once."""

    def __init__(
        self,
        known: Callable[[], Known],
        settings: Callable[[], Settings],
        telemetry: Telemetry,
        database: Database,
        transport: Transport,
    ) -> None:
        self._known = known
        self._settings = settings
        self._telemetry = telemetry
        self._transport = transport
        self.follow = Follow(Places(database), Kept(database, self.keep_s), self)

    def pages(self, authenticate: Callable[[str], Caller]) -> ResponsePages:
        """What answers GET and DELETE below `/v1/responses/`."""
        return ResponsePages(
            self.follow.places, self.follow.kept, authenticate, lambda name: self._known().providers.get(name),
            self._transport,
        )  # fmt: skip

    # ---- what the stage asks ----

    def keep_s(self) -> float:
        return self._settings().responses.keep

    def keeps_content(self, route: str) -> bool:
        return self._telemetry.recorder.capture.mode(route) not in ("off", "hashed")

    def gone(self, provider: str, credential: str | None) -> str | None:
        found = self._known().providers.get(provider)
        if found is None:
            return f"the provider '{provider}'"
        if credential is not None and found.credentials.named(credential) is None:
            return f"the credential '{credential}' of the provider '{provider}'"
        return None

    def only_way(self, name: str) -> bool:
        known = self._known()
        route = known.route(name)
        if route is not None:
            if len(route.variants) > 1 or route.larger is not None:
                return False
            provider = route.variants[0].provider
            if not provider:
                # The prompt names the model, and its next version may name another one.
                return False
        else:
            provider = name.partition("/")[0] if "/" in name else next(iter(known.offering(name)), "")
        found = known.providers.get(provider)
        return found is None or len(found.credentials.all()) <= 1

    def without_secrets(self, data: bytes) -> bytes:
        scrubber = self._telemetry.scrubber
        if not scrubber.suspects(data):
            return data
        return msgspec.json.encode(scrubber.scrub_all(msgspec.json.decode(data)))
