"""The section `console:` of the configuration."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from comporta.config.section import Section
from comporta.config.values import Duration

_HOUR_S = 3_600.0


class OidcSection(Section):
    """Signing in by an identity provider that speaks OpenID Connect."""

    issuer: str = Field(description="The provider's address, as it calls itself: https://login.example.com.")
    client_id: str = Field(min_length=1, description="What this console is called there.")
    client_secret: SecretStr | None = Field(None, description="Its secret there; clients without one have none.")
    name: str = Field("SSO", min_length=1, max_length=50, description="What stands on the button.")
    admins: list[str] = Field(
        [], description="Addresses of people who may change things; `*@example.com` is all of a domain."
    )
    viewers: list[str] = Field([], description="Addresses of people who may look.")
    admin_groups: list[str] = Field([], description="Groups whose members may change things.")
    viewer_groups: list[str] = Field([], description="Groups whose members may look.")
    team_viewers: dict[str, list[str]] = Field(
        {},
        description="Addresses or groups of people who may look at one team's calls alone, by team. It binds those "
        "whom `viewers` and `viewer_groups` name too, and no admin.",
    )
    teams_claim: str | None = Field(
        None,
        description="Where the provider says somebody's teams: a viewer then sees these alone, and one without any is "
        "not let in. Teams of `team_viewers` are added.",
    )
    groups_claim: str = Field("groups", description="Where the provider says somebody's groups.")
    trust_email: bool = Field(
        False,
        description="Whether an e-mail counts though the provider does not say `email_verified`. Only for providers "
        "where people can't set their own e-mail: elsewhere anybody becomes an admin by writing the address of one.",
    )

    @field_validator("issuer")
    @classmethod
    def _https(cls, issuer: str) -> str:
        parts = urlsplit(issuer)
        here = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and here)):
            raise ValueError("is not the address of an identity provider; it looks like https://login.example.com")
        return issuer

    @model_validator(mode="after")
    def _somebody(self) -> OidcSection:
        lists = (self.admins, self.viewers, self.admin_groups, self.viewer_groups, self.team_viewers)
        if not any(lists):
            raise ValueError("lets nobody in: list people under admins, viewers or team_viewers, or groups")
        return self


class ConsoleSection(Section):
    """The web page for people: where it listens, and how long a sign-in lasts."""

    enabled: bool = Field(True, description="Whether it is started; `--no-console` and `COMPORTA_CONSOLE=0` win.")
    host: str = Field("127.0.0.1", description="Address to listen on; `COMPORTA_CONSOLE_HOST` wins over it.")
    port: int = Field(8090, ge=1, le=65535, description="Port to listen on; `COMPORTA_CONSOLE_PORT` wins over it.")
    url: str | None = Field(
        None,
        description="The address that people open, where it is another one than host and port: behind a proxy. With "
        "https, cookies are sent over https alone.",
    )
    idle: Duration = Field(
        12 * _HOUR_S, ge=60, validate_default=True, description="Without use for so long, a sign-in ends."
    )
    longest: Duration = Field(
        7 * 24 * _HOUR_S, ge=60, validate_default=True, description="After so long a sign-in ends in any case."
    )

    oidc: OidcSection | None = Field(None, description="Signing in by an identity provider, beside passwords.")

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError("is not the address of a site; it looks like https://console.example.com")
        return url.rstrip("/")


def address_of(settings: ConsoleSection) -> str:
    """Where people open it."""
    if settings.url:
        return settings.url
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 (compared, not bound)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
