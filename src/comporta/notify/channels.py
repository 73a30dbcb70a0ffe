"""Channels: each takes a notice to its people once, or says why it could not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import smtplib
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from importlib import import_module
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from comporta.notify.notice import Notice, as_json, as_text, shown
from comporta.notify.settings import ChannelSection
from comporta.notify.signing import NOTICE, SIGNATURE, TIMESTAMP, signature

_MAIL_S = 15.0
_GOOD = range(200, 300)
_GONE = 410
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
#: Slack shows at most ten fields of a section, and refuses longer texts.
_MOST_FIELDS = 10
_MAX_SECTION_CHARS = 2900
_MAX_FIELD_CHARS = 1900
_MARKS = {"info": ":information_source:", "warning": ":warning:", "critical": ":rotating_light:"}


class Answered(Struct, frozen=True):
    """What an HTTP receiver answered; its body is nobody's business."""

    status: int
    retry_after_s: float | None = None


#: Sends one POST by the ways that the configuration sets for everything that goes out (proxy, authorities). Raises
#: Undelivered where nobody answers.
Post = Callable[[str, Mapping[str, str], bytes], Awaitable[Answered]]


class Undelivered(Exception):
    """A delivery that failed. The reason holds neither address nor secret: it is kept and shown."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        #: Whether trying again is of no use.
        self.final = final


class Channel(Protocol):
    """One way to tell people."""

    async def deliver(self, notice: Notice) -> str:
        """Tell it once; a few words on how it was taken. Raises Undelivered."""


class Webhook:
    """Any HTTP receiver: JSON, signed with a shared secret."""

    def __init__(self, section: ChannelSection, post: Post, clock: Callable[[], float] = time.time) -> None:
        assert section.url is not None
        self._url = section.url.get_secret_value()
        self._secret = section.secret.get_secret_value() if section.secret is not None else None
        self._headers = {name.lower(): value.get_secret_value() for name, value in section.headers.items()}
        self._post = post
        self._clock = clock

    async def deliver(self, notice: Notice) -> str:
        body = as_json(notice)
        timestamp = str(int(self._clock()))
        headers = {**self._headers, "content-type": "application/json", NOTICE: _ascii(notice.id), TIMESTAMP: timestamp}
        if self._secret is not None:
            headers[SIGNATURE] = signature(self._secret, timestamp, body)
        return _taken(await self._post(self._url, headers, body))


class Slack:
    """A chat that takes Slack's incoming webhooks (Slack, Mattermost, Rocket.Chat, Discord's `/slack`)."""

    def __init__(self, section: ChannelSection, post: Post) -> None:
        assert section.url is not None
        self._url = section.url.get_secret_value()
        self._post = post

    async def deliver(self, notice: Notice) -> str:
        body = msgspec.json.encode(slack_message(notice))
        return _taken(await self._post(self._url, {"content-type": "application/json"}, body))


def slack_message(notice: Notice) -> dict[str, object]:
    """`text` for chats and phones that know no blocks, and blocks with the facts as fields."""
    title = f"{_MARKS[notice.severity]} *{_escaped(notice.title)}*"
    said = f"{title}\n{_escaped(notice.text)}" if notice.text else title
    blocks: list[dict[str, object]] = [_section(said)]
    facts = list(notice.facts.items())[:_MOST_FIELDS]
    if facts:
        fields = [
            _markdown(f"*{_escaped(name)}*\n{_escaped(shown(value))}"[:_MAX_FIELD_CHARS]) for name, value in facts
        ]
        blocks.append({"type": "section", "fields": fields})
    if notice.link:
        blocks.append(_section(f"<{_escaped(notice.link)}|Open>"))
    return {"text": f"{notice.severity}: {_escaped(notice.title)}", "blocks": blocks}


class Email:
    """Mail by SMTP. Python's own client blocks, so it works in a thread."""

    def __init__(self, section: ChannelSection, ca_file: Path | None = None) -> None:
        assert section.host is not None and section.sender is not None
        self._section = section
        self._ca_file = ca_file

    async def deliver(self, notice: Notice) -> str:
        message = self._written(notice)
        try:
            await asyncio.to_thread(self._send, message)
        except (smtplib.SMTPException, OSError) as error:
            raise _mail_failed(error) from None
        return f"taken for {len(self._section.to)}"

    def _written(self, notice: Notice) -> EmailMessage:
        section = self._section
        message = EmailMessage()
        message["Subject"] = f"[{notice.severity}] {notice.title}"
        message["From"] = section.sender
        message["To"] = ", ".join(section.to)
        message["Date"] = format_datetime(notice.at)
        message["Message-ID"] = make_msgid(domain=str(section.sender).rpartition("@")[2])
        message["X-Comporta-Notice"] = _ascii(notice.id)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(as_text(notice))
        return message

    def _send(self, message: EmailMessage) -> None:
        section = self._section
        host, port = section.host or "", section.port or _PORTS[section.security]
        if section.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=_MAIL_S, context=self._context())
        else:
            server = smtplib.SMTP(host, port, timeout=_MAIL_S)
        try:
            if section.security == "starttls":
                server.starttls(context=self._context())
            if section.username is not None and section.password is not None:
                server.login(section.username, section.password.get_secret_value())
            server.send_message(message)
            # The mail is taken by now: a farewell that fails must not have it sent again.
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            server.close()

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._ca_file is not None:
            context.load_verify_locations(self._ca_file)
        return context


class Apprise:
    """Whatever the package Apprise knows (Telegram, Teams, PagerDuty, ntfy …), by its address. It is an extra.

    It goes its own way out: by the proxies of the environment, not by `outgoing`. It blocks, so it works in a thread.
    """

    def __init__(self, section: ChannelSection) -> None:
        assert section.url is not None
        self._url = section.url.get_secret_value()
        # What it logs of failures may hold the address.
        logging.getLogger("apprise").setLevel(logging.CRITICAL)

    async def deliver(self, notice: Notice) -> str:
        try:
            sent = await asyncio.to_thread(self._send, notice)
        except ImportError:
            raise Undelivered("the package apprise is not installed: pip install 'comporta[apprise]'") from None
        except Exception as error:
            # Some hundred services behind it fail in ways of their own, and their words may hold the address.
            raise Undelivered(f"apprise failed ({type(error).__name__})") from None
        if not sent:
            raise Undelivered("apprise could not deliver it, or does not know the address")
        return "taken by apprise"

    def _send(self, notice: Notice) -> bool:
        # A heavy extra, which few have.
        package = import_module("apprise")
        sender = package.Apprise()
        kind = {"info": "info", "warning": "warning", "critical": "failure"}[notice.severity]
        return bool(sender.add(self._url) and sender.notify(body=as_text(notice), title=notice.title, notify_type=kind))


def channel_of(section: ChannelSection, post: Post, ca_file: Path | None = None) -> Channel:
    """The channel that a section of the configuration describes."""
    if section.type == "apprise":
        return Apprise(section)
    if section.type == "webhook":
        return Webhook(section, post)
    return Slack(section, post) if section.type == "slack" else Email(section, ca_file)


def place_of(section: ChannelSection) -> str:
    """Where a channel leads, as far as that may be shown: paths of webhooks hold secrets."""
    if section.url is not None and section.type == "apprise":
        return section.url.get_secret_value().partition("://")[0]
    if section.url is not None:
        return urlsplit(section.url.get_secret_value()).hostname or ""
    return ", ".join(section.to)


def _taken(answer: Answered) -> str:
    if answer.status in _GOOD:
        return f"answered {answer.status}"
    raise Undelivered(f"answered {answer.status}", retry_after_s=answer.retry_after_s, final=answer.status == _GONE)


def _mail_failed(error: Exception) -> Undelivered:
    """By code and kind: what a server says could hold a name or worse."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return Undelivered("the mail server refuses every recipient")
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Undelivered(f"the mail server refuses the sign-in ({error.smtp_code})")
    if isinstance(error, smtplib.SMTPResponseException):
        return Undelivered(f"the mail server answered {error.smtp_code}")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Undelivered("the mail server does not offer what the channel needs (STARTTLS or a sign-in)")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Undelivered(
            f"the mail server's certificate is not trusted ({error.verify_message}); see outgoing.ca_file"
        )
    if isinstance(error, TimeoutError):
        return Undelivered(f"the mail server did not answer within {_MAIL_S:g} s")
    return Undelivered(f"no connection to the mail server ({type(error).__name__})")


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": _markdown(text[:_MAX_SECTION_CHARS])}


def _markdown(text: str) -> dict[str, object]:
    return {"type": "mrkdwn", "text": text}


def _escaped(text: str) -> str:
    """So that no text mentions everybody or hides where a link leads."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _ascii(text: str) -> str:
    """A header's value: what is not printable ASCII gives way, so that no id can begin another header."""
    return "".join(c if " " < c <= "~" else "?" for c in text)
