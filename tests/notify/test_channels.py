"""Channels: what a webhook, a chat and a mailbox get, how a signature is checked, and what failures are told."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from comporta.app.notifying import post_over
from comporta.errors import BadRequest
from comporta.gateway.transport import HttpTransport
from comporta.notify.channels import Answered, Undelivered, channel_of, place_of, slack_message
from comporta.notify.notice import Notice, as_json, checked
from comporta.notify.settings import ChannelSection, NotifySection
from comporta.notify.signing import NOTICE, SIGNATURE, TIMESTAMP, is_genuine, signature
from support.receiving import mail_server, receiver

NOTICE_1 = checked(
    Notice(
        "rollout-7-back", "rollout.rolled_back", "support went back to 2.3.0", "Errors rose by 4.1 points.", "critical",
        "https://gate.example.com/rollouts/7", {"errors_b": 0.061, "calls_b": 180, "sure": True}, 1_800_000_000.0,
    ),
    0.0,
)  # fmt: skip


def section(**given: Any) -> ChannelSection:
    return ChannelSection.model_validate(given)


class Posted:
    """Stands for the way out: remembers what was sent."""

    def __init__(self, status: int = 200) -> None:
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []
        self.status = status

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        self.sent.append((url, headers, body))
        return Answered(self.status)


async def test_a_webhook_gets_the_whole_notice_with_a_signature_that_holds() -> None:
    posted = Posted()
    channel = channel_of(
        section(type="webhook", url="https://ops.example.com/h", secret="whisper", headers={"X-Team": "ops"}), posted
    )
    assert await channel.deliver(NOTICE_1) == "answered 200"
    [(url, headers, body)] = posted.sent
    assert url == "https://ops.example.com/h" and headers["x-team"] == "ops" and headers[NOTICE] == "rollout-7-back"
    assert msgspec.json.decode(body) == {
        "id": "rollout-7-back", "kind": "rollout.rolled_back", "severity": "critical",
        "title": "support went back to 2.3.0", "text": "Errors rose by 4.1 points.",
        "link": "https://gate.example.com/rollouts/7", "facts": {"errors_b": 0.061, "calls_b": 180, "sure": True},
        "at": "2027-01-15T08:00:00Z",
    }  # fmt: skip
    now_s = float(headers[TIMESTAMP])
    assert is_genuine("whisper", headers[TIMESTAMP], body, headers[SIGNATURE], now_s)
    assert not is_genuine("shout", headers[TIMESTAMP], body, headers[SIGNATURE], now_s)
    assert not is_genuine("whisper", headers[TIMESTAMP], body + b" ", headers[SIGNATURE], now_s)
    assert not is_genuine("whisper", str(int(now_s) + 1), body, headers[SIGNATURE], now_s)
    assert not is_genuine("whisper", headers[TIMESTAMP], body, headers[SIGNATURE], now_s + 301)


@given(st.text(), st.text(), st.binary(), st.text())
def test_no_header_of_a_forger_breaks_the_check_of_a_signature(
    secret: str, timestamp: str, body: bytes, forged: str
) -> None:
    assert not is_genuine("real" + secret.encode("utf-8", "replace").decode(), timestamp, body, forged, 0.0)


def test_a_signature_is_the_documented_one() -> None:
    # HMAC-SHA256 of `1700000000.{}` with the key `secret`, computed with OpenSSL.
    known = "b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    assert signature("secret", "1700000000", b"{}") == "v1=" + known


async def test_a_webhook_without_a_secret_is_not_signed() -> None:
    posted = Posted()
    await channel_of(section(type="webhook", url="http://10.0.0.7/h"), posted).deliver(NOTICE_1)
    assert SIGNATURE not in posted.sent[0][1]


async def test_an_id_cant_smuggle_in_a_header() -> None:
    posted = Posted()
    notice = checked(Notice("a\r\nx-evil: 1 é", "k", "t\r\nBcc: all@example.com"), 1.0)
    await channel_of(section(type="webhook", url="http://h/"), posted).deliver(notice)
    assert posted.sent[0][1][NOTICE] == "a??x-evil:?1??" and "\n" not in notice.title


async def test_a_chat_gets_text_and_blocks_in_which_nothing_is_markup() -> None:
    posted = Posted()
    notice = checked(Notice("1", "k", "<!channel> & more", "a <b>", "warning", facts={"n": 0.123456789}), 1.0)
    await channel_of(section(type="slack", url="https://chat.example.com/T0/B0/x"), posted).deliver(notice)
    said = msgspec.json.decode(posted.sent[0][2])
    assert said == slack_message(notice) and "<!channel>" not in posted.sent[0][2].decode()
    assert said["text"] == "warning: &lt;!channel&gt; &amp; more"
    assert said["blocks"][1]["fields"][0]["text"] == "*n*\n0.123457"


def test_a_chat_is_never_sent_more_than_it_takes() -> None:
    facts = {f"f{n}": "x" * 5000 for n in range(60)}
    said = slack_message(checked(Notice("1", "k", "t" * 900, "y" * 50_000, facts=facts), 1.0))
    blocks: Any = said["blocks"]
    assert len(blocks[0]["text"]["text"]) <= 3000 and len(blocks[1]["fields"]) == 10
    assert all(len(field["text"]) <= 2000 for field in blocks[1]["fields"])


async def test_a_mail_has_subject_text_and_facts() -> None:
    async with mail_server() as server:
        given = section(
            type="email", host="127.0.0.1", port=server.port, security="none", **{"from": "gate@example.com"},
            to=["ana@example.com", "rui@example.com"],
        )  # fmt: skip
        assert await channel_of(given, Posted()).deliver(NOTICE_1) == "taken for 2"
    mail = email.message_from_string(server.mails[0], policy=email.policy.default)
    assert mail["Subject"] == "[critical] support went back to 2.3.0" and mail["From"] == "gate@example.com"
    assert mail["To"] == "ana@example.com, rui@example.com" and mail["X-Comporta-Notice"] == "rollout-7-back"
    text = mail.get_content()
    assert "Errors rose by 4.1 points." in text and "errors_b: 0.061" in text and "sure: yes" in text


@pytest.mark.parametrize(
    ("refuse", "told"),
    [
        ({"RCPT": "550 nobody of that name, ana@example.com"}, "the mail server refuses every recipient"),
        ({"MAIL": "451 later"}, "the mail server answered 451"),
        ({"DATA": "554 spam: ana@example.com"}, "the mail server answered 554"),
    ],
)
async def test_what_a_mail_server_refuses_is_told_without_its_words(refuse: dict[str, str], told: str) -> None:
    async with mail_server() as server:
        server.refuse = refuse
        given = section(
            type="email", host="127.0.0.1", port=server.port, security="none", **{"from": "gate@example.com"},
            to=["ana@example.com"],
        )  # fmt: skip
        with pytest.raises(Undelivered) as failure:
            await channel_of(given, Posted()).deliver(NOTICE_1)
    assert failure.value.reason == told and "ana" not in failure.value.reason


async def test_a_mail_server_without_starttls_gets_no_mail_where_it_is_demanded() -> None:
    async with mail_server() as server:
        given = section(
            type="email", host="127.0.0.1", port=server.port, username="u", password="planted-password",
            **{"from": "gate@example.com"}, to=["ana@example.com"],
        )  # fmt: skip
        with pytest.raises(Undelivered, match="does not offer"):
            await channel_of(given, Posted()).deliver(NOTICE_1)
    assert not server.mails and not any("planted" in command or "AUTH" in command for command in server.commands)


async def test_over_http_every_failure_is_told_without_the_address() -> None:
    transport = HttpTransport()
    post = post_over(transport)
    async with receiver() as there:
        there.answers = [500, 410, 429]
        there.headers = "retry-after: 7\r\n"
        for status, final in ((500, False), (410, True), (429, False)):
            channel = channel_of(section(type="webhook", url=there.url), post)
            with pytest.raises(Undelivered) as failure:
                await channel.deliver(NOTICE_1)
            assert failure.value.reason == f"answered {status}" and failure.value.final is final
            assert failure.value.retry_after_s == 7
        assert await channel.deliver(NOTICE_1) == "answered 200"
        assert there.got[-1].json["id"] == NOTICE_1.id and there.got[-1].headers["content-type"] == "application/json"
    for url in ("http://127.0.0.1:9/secret-path", "http://no-such-host.invalid/secret-path"):
        with pytest.raises(Undelivered) as failure:
            await channel_of(section(type="slack", url=url), post).deliver(NOTICE_1)
        assert "secret-path" not in failure.value.reason and "receiver" in failure.value.reason
    await transport.close()


# The package warns of what it uses itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_apprise_takes_a_notice_to_whatever_its_address_means_and_tells_no_address() -> None:
    async with receiver() as there:
        there.answers = [500]
        channel = channel_of(section(type="apprise", url=f"json://127.0.0.1:{there.port}/planted-path"), unheard)
        with pytest.raises(Undelivered) as failure:
            await channel.deliver(NOTICE_1)
        assert "planted-path" not in failure.value.reason
        assert await channel.deliver(NOTICE_1) == "taken by apprise"
        assert there.got[-1].json["title"] == NOTICE_1.title
    with pytest.raises(Undelivered, match="does not know the address"):
        await channel_of(section(type="apprise", url="nothing://x"), unheard).deliver(NOTICE_1)
    assert place_of(section(type="apprise", url="tgram://planted/chat")) == "tgram"


async def unheard(url: str, headers: Any, body: bytes) -> Any:
    raise AssertionError("apprise goes its own way out")


# ---- configuration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"type": "webhook"}, "needs url"),
        ({"type": "slack", "url": "ftp://x"}, "not an address of the web"),
        ({"type": "slack", "url": "http://[::1"}, "not an address of the web"),
        ({"type": "email", "host": "h", "to": ["a@b"]}, "needs from"),
        ({"type": "email", "host": "h", "from": "a@b", "to": ["no address"]}, "not an e-mail address"),
        ({"type": "email", "host": "h", "from": "a@b\nBcc: c@d", "to": ["a@b"]}, "not an e-mail address"),
        ({"type": "slack", "url": "https://x", "secret": "s"}, "secret: a channel of type slack has no use for it"),
        (
            {"type": "email", "host": "h", "from": "a@b", "to": ["a@b"], "security": "none", "username": "u",
             "password": "p"},
            "in clear",
        ),
        ({"type": "apprise", "url": "no address"}, "not an address of Apprise"),
        ({"type": "pigeon"}, "'webhook', 'slack', 'email' or 'apprise'"),
    ],
)  # fmt: skip
def test_a_channel_that_cant_work_is_refused_with_the_reason(given: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        section(**given)


def test_the_usual_channels_must_be_there() -> None:
    with pytest.raises(ValidationError, match="names team"):
        NotifySection.model_validate({"default": ["team"]})


def test_a_channel_is_shown_without_path_and_secret() -> None:
    assert place_of(section(type="slack", url="https://hooks.example.com/T0/B0/planted")) == "hooks.example.com"


# ---- notices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"id": " "}, {"kind": ""}, {"title": ""}, {"severity": "bad"}, {"id": "x" * 201}])
def test_a_notice_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(BadRequest):
        checked(msgspec.structs.replace(NOTICE_1, **wrong), 1.0)


def test_any_fact_can_be_told() -> None:
    facts = {"nan": float("nan"), "inf": float("inf"), "list": [1, "a"], "odd": object, "nul": "a\0b", "none": None}
    notice = checked(Notice("1", "k", "t", facts=facts), 1.0)
    told = msgspec.json.decode(as_json(notice))["facts"]
    assert (told["nan"], told["inf"], told["list"], told["nul"], told["none"]) == ("nan", "inf", '[1,"a"]', "ab", None)
