"""The providers of a running gate: rows of data joined with the configuration, ready to be asked. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, structs

from comporta.errors import UpstreamCredential
from comporta.providers.base import Endpoint, Local, Wire
from comporta.providers.catalogue import OUR_CAPABILITIES, Catalogue, ModelFacts
from comporta.providers.credentials import Credential, Credentials
from comporta.providers.rows import Row
from comporta.types import JSON


class Timeouts(Struct, frozen=True):
    """Seconds; None leaves it to whoever comes next (route, provider, default)."""

    connect_s: float | None = None
    first_token_s: float | None = None
    idle_s: float | None = None
    total_s: float | None = None


class Provider:
    """One entry under `providers:` (or one found in the environment)."""

    def __init__(
        self,
        *,
        name: str,
        row: Row,
        speaks: Wire | Local,
        base_url: str,
        credentials: Credentials,
        timeouts: Timeouts,
        headers: Mapping[str, str],
        options: JSON,
        models: tuple[str, ...],
        catalogue: Catalogue,
        overrides: Mapping[str, ModelFacts],
    ) -> None:
        self.name = name
        self.row = row
        self.speaks = speaks
        self.timeouts = timeouts
        self.models = models
        self._credentials = credentials
        self._catalogue = catalogue
        self._overrides = overrides
        self._facts: dict[str, ModelFacts] = {}
        self._endpoint = Endpoint(
            provider=name, base_url=base_url.rstrip("/"), headers=dict(headers), options={**row.options, **options}
        )
        self._endpoints: dict[Credential, Endpoint] = {}

    @property
    def credentials(self) -> Credentials:
        return self._credentials

    @property
    def bare(self) -> Endpoint:
        """The endpoint without a secret."""
        return self._endpoint

    def endpoint(self, wished: str | None = None) -> tuple[str | None, Endpoint]:
        """The name of the wished credential, else of the next one, and the endpoint with its secret.

        Raises UpstreamCredential where the provider needs one and none can be read.
        """
        credential = self._credentials.named(wished) if wished is not None else self._credentials.pick()
        if credential is None:
            if self.row.needs_key:
                raise UpstreamCredential(
                    f"There is no key for the provider '{self.name}': set {self.row.env[0] if self.row.env else 'one'} "
                    f"or `providers.{self.name}.api_key`.",
                    code="upstream_credential_missing",
                )
            return None, self._endpoint
        endpoint = self._endpoints.get(credential)
        if endpoint is None:
            if len(self._endpoints) > 64:
                self._endpoints.clear()
            endpoint = self._endpoints[credential] = structs.replace(self._endpoint, secret=credential.secret)
        return credential.name, endpoint

    def facts(self, model: str) -> ModelFacts:
        """What the configuration says of a model, else the catalogue."""
        known = self._facts.get(model)
        if known is None:
            if len(self._facts) > 4096:
                self._facts.clear()
            known = self._facts[model] = self._find(model)
        return known

    def batch_percent(self, model: str) -> int:
        """What the provider's own batch API asks for a model, in percent of its price; 100 where it is no cheaper."""
        own = self.facts(model).batch_percent
        return self.row.batch_percent if own is None else own

    def _find(self, model: str) -> ModelFacts:
        known = self._catalogue.find(self.row.name, model) or ModelFacts()
        override = self._overrides.get(model)
        if override is None:
            return known
        said = {name: value for name, value in structs.asdict(override).items() if value}
        if "price" in said:
            said |= {"long_above": None, "long_price": None}
        if OUR_CAPABILITIES.isdisjoint(override.capabilities):
            # The operator's own words stand beside ours, and say nothing against them.
            said["capabilities"] = (*known.capabilities, *override.capabilities)
        return structs.replace(known, **said)
