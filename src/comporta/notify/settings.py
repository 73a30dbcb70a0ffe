"""The section `notify:` of the configuration."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from comporta.config.section import Section
from comporta.config.values import Duration
from comporta.notify.notice import Severity

_DAY_S = 86_400.0
_NEEDED = {"webhook": ("url",), "slack": ("url",), "apprise": ("url",), "email": ("host", "sender", "to")}
_ALLOWED = {
    "webhook": ("url", "secret", "headers"),
    "slack": ("url",),
    "apprise": ("url",),
    "email": ("host", "port", "security", "username", "password", "sender", "to"),
}


class ChannelSection(Section):
    """One way to tell people: a webhook, a chat that speaks Slack's incoming webhooks, e-mail, Apprise."""

    type: Literal["webhook", "slack", "email", "apprise"] = Field(description="What it is.")
    at_least: Severity = Field("info", description="The least severe notices that it gets: info, warning, critical.")
    url: SecretStr | None = Field(
        None,
        description="The address; of apprise `tgram://…` and the like. It may hold a secret, so it is never shown.",
    )
    secret: SecretStr | None = Field(
        None, description="Webhook: what the signature is made with; without it nothing is signed."
    )
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Webhook: headers sent with it.")
    host: str | None = Field(None, description="E-mail: the SMTP server.")
    port: int | None = Field(
        None, ge=1, le=65535, description="E-mail: its port (default 587, 465 with tls, 25 with none)."
    )
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="E-mail: how the way there is secured."
    )
    username: str | None = Field(None, description="E-mail: who signs in there.")
    password: SecretStr | None = Field(None, description="E-mail: with what.")
    sender: str | None = Field(None, alias="from", description="E-mail: the sender's address.")
    to: list[str] = Field(default_factory=list, max_length=50, description="E-mail: who gets it.")

    @field_validator("url")
    @classmethod
    def _address(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if url is None:
            return None
        if info.data.get("type") == "apprise":
            if "://" not in url.get_secret_value():
                raise ValueError("is not an address of Apprise; it looks like tgram://token/chat")
            return url
        try:
            parts = urlsplit(url.get_secret_value())
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            good = False
        if not good:
            raise ValueError("is not an address of the web; it looks like https://hooks.example.com/…")
        return url

    @field_validator("sender")
    @classmethod
    def _one_mailbox(cls, sender: str | None) -> str | None:
        if sender is not None and not _is_mailbox(sender):
            raise ValueError("is not an e-mail address; it looks like gate@example.com")
        return sender

    @field_validator("to")
    @classmethod
    def _mailboxes(cls, to: list[str]) -> list[str]:
        if not all(_is_mailbox(one) for one in to):
            raise ValueError("holds what is not an e-mail address; they look like ops@example.com")
        return to

    @model_validator(mode="after")
    def _whole(self) -> ChannelSection:
        fields = type(self).model_fields
        missing = [fields[name].alias or name for name in _NEEDED[self.type] if not getattr(self, name)]
        if missing:
            raise ValueError(f"a channel of type {self.type} needs {' and '.join(missing)}")
        given = self.model_fields_set - {"type", "at_least", *_ALLOWED[self.type]}
        if given:
            names = ", ".join(sorted(fields[name].alias or name for name in given))
            raise ValueError(f"{names}: a channel of type {self.type} has no use for it")
        if self.password is not None and self.security == "none":
            raise ValueError("a password would travel in clear with `security: none`")
        return self


class NotifySection(Section):
    """Whom to tell of what happens by itself: rollouts that turn back, prompts that are deployed, alerts."""

    channels: dict[str, ChannelSection] = Field(default_factory=dict, description="Ways to tell people, by name.")
    default: list[str] | None = Field(
        None, description="The channels of notices that name none; left out: all of them."
    )
    give_up_after: Duration = Field(
        _DAY_S, gt=0, validate_default=True, description="How long a delivery that fails is tried again."
    )
    keep: Duration = Field(90 * _DAY_S, gt=0, validate_default=True, description="How long notices are kept.")

    @model_validator(mode="after")
    def _known(self) -> NotifySection:
        unknown = [name for name in self.default or () if name not in self.channels]
        if unknown:
            raise ValueError(f"`default` names {', '.join(unknown)}, which is not among `channels`")
        return self

    def chosen(self, channels: list[str] | tuple[str, ...] | None) -> list[str]:
        """The channels that a notice goes to; those that are named stay, known or not."""
        if channels is not None:
            return list(dict.fromkeys(channels))
        return list(self.channels) if self.default is None else list(dict.fromkeys(self.default))


def _is_mailbox(text: str) -> bool:
    name, at, host = text.rpartition("@")
    return bool(name and at and host) and text.isprintable() and not set(text) & set(" ,;<>\"'")
