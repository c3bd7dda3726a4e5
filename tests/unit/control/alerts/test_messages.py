"""What is said of alerts: words, cards, documents; and what arrives at channels, or why it does not."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import aiohttp
import pytest

from app.control.alerts.card import card_of
from app.control.alerts.channels.by_apprise import ByApprise
from app.control.alerts.channels.feishu_chat import FeishuChat
from app.control.alerts.channels.feishu_hook import FeishuHook
from app.control.alerts.channels.webhook import Webhook
from app.control.alerts.notice import Item, Notice
from app.control.alerts.states import Alert, News
from app.control.alerts.wording import MOST_LINES, Language, Wording
from app.core.alert_rules import DEFAULT_RULES
from app.core.alert_settings import AlertSettings
from app.core.errors import FeishuRefused, HubError
from app.model.bot import BotSpec
from app.model.outbound import Outbound
from tests.system.receivers import inbox, mailbox
from tests.unit.channel.parts import bot
from tests.unit.control.alerts.parts import START


def item(news: News = "firing", rule: str = "QueueLong", subject: str = "echo", value: float = 101.0) -> Item:
    severity = DEFAULT_RULES[rule].severity
    return Item(news, Alert(rule, subject, severity, "firing", value, START, START, told=START))


def notice(*items: Item) -> Notice:
    return Notice.of(START + 60, items or [item()], ["one"])


def wording(language: Language = "both", link: str | None = None) -> Wording:
    return Wording(DEFAULT_RULES, language, link)


def test_a_line_says_what_of_what_how_much_and_since_when() -> None:
    assert wording("en").line(item()) == (
        "QueueLong echo: Many events wait: events that wait 101 (over 100), since 2023-11-14 22:13:20 UTC"
    )
    assert wording("zh").line(item("resolved")) == "QueueLong echo: 队列积压：已恢复, 始于 2023-11-14 22:13:20 UTC"
    both = wording().line(item(rule="CertificateExpires", subject="your.host", value=5 * 86400.0))
    assert "until a certificate expires 5d (under 14d)" in both
    assert "证书即将过期" in both


def test_a_title_counts() -> None:
    several = notice(item(), item(subject="hr"), item("resolved", "HighCPU", "n1", 0.9))
    assert wording("en").title(several) == "Feishu Hub: QueueLong, HighCPU firing 2, resolved"


def test_a_storm_is_cut_and_counted() -> None:
    lines = wording("en").lines(notice(*(item(subject=f"bot{n}") for n in range(300))))
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == f"and {300 - MOST_LINES} more"


def test_a_rule_that_is_no_more_is_told_all_the_same() -> None:
    gone = Item("resolved", Alert("Mine", "echo", "warning", "firing", 1.0, START, START))
    assert "Mine echo (resolved" in wording("en").line(gone)


@pytest.mark.parametrize(
    ("items", "color"),
    [
        ((item(),), "orange"),
        ((item(rule="HighErrorRate"), item()), "red"),
        ((item("resolved", "HighErrorRate"), item("resolved")), "green"),
        ((item("resolved", "HighErrorRate"), item("still")), "orange"),
    ],
    ids=["warning", "critical", "over", "some-over"],
)
def test_a_card_is_coloured_by_the_worst_that_fires(items: tuple[Item, ...], color: str) -> None:
    assert card_of(notice(*items), wording(), buttons=True)["header"]["template"] == color


def test_a_card_silences_what_fires_where_clicks_are_heard() -> None:
    def actions(buttons: bool, link: str | None = None) -> list[Any]:
        card = card_of(notice(item(), item("resolved", "HighCPU", "n1")), wording("en", link), buttons=buttons)
        text = json.dumps(card)
        assert len(text) < 30_000
        return [element["behaviors"][0] for element in card["body"]["elements"] if element["tag"] == "button"]

    silence = {"type": "callback", "value": {"rule": "QueueLong", "subject": "echo", "action": "hub.alerts.silence"}}
    assert actions(True) == [silence]
    assert actions(False) == []
    open_url = {"type": "open_url", "default_url": "https://hub.example/dashboard/#alerts"}
    assert actions(False, "https://hub.example") == [open_url]


def test_names_are_no_markdown() -> None:
    card = json.dumps(card_of(notice(item(subject="<at id=all></at>")), wording(), buttons=False))
    assert "<at id=all>" not in card


async def test_a_webhook_gets_what_alertmanager_would_post() -> None:
    async with inbox() as box, aiohttp.ClientSession() as session:
        channel = Webhook("pager", False, session, box.url, "s3cret", wording("en"))
        await channel.send(notice(item("resolved"), item(rule="HighErrorRate")))
        [document] = box.documents
        assert hmac.new(b"s3cret", box.bodies[0], hashlib.sha256).hexdigest() == box.headers[0]["X-Hub-Signature"]
    over, burning = document["alerts"]
    assert (document["version"], document["status"], document["receiver"]) == ("4", "firing", "pager")
    assert (over["status"], over["startsAt"], over["endsAt"]) == (
        "resolved",
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:14:20.000Z",
    )
    assert burning["labels"] == {"alertname": "HighErrorRate", "subject": "echo", "severity": "critical"}
    assert burning["endsAt"].startswith("0001")


async def test_what_a_webhook_says_wrong_names_no_address() -> None:
    async with inbox() as box, aiohttp.ClientSession() as session:
        box.status = 503
        with pytest.raises(HubError, match=r"alerts\.channels\.pager: the webhook answered 503") as refused:
            await Webhook("pager", False, session, box.url, None, wording()).send(notice())
        with pytest.raises(HubError, match=r"cannot be reached") as lost:
            await Webhook("pager", False, session, "http://127.0.0.1:1/s3cret", None, wording()).send(notice())
    assert refused.value.retryable
    assert "s3cret" not in str(lost.value)
    assert "s3cret" not in repr(Webhook("pager", False, session, "http://h/s3cret", "s3cret", wording()))


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
async def test_an_email_arrives() -> None:
    async with mailbox() as box:
        url = f"mailto://127.0.0.1:{box.port}?from=hub@example.com&to=ops@example.com&mode=insecure"
        await ByApprise("mail", False, url, wording("en", "https://hub.example")).send(notice())
        [mail] = box.mails
    assert mail["subject"] == "Feishu Hub: QueueLong firing"
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes) or mail.is_multipart()
    assert "https://hub.example/dashboard/#alerts" in mail.as_string().replace("=\n", "")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
async def test_what_apprise_cannot_send_is_told_without_the_url() -> None:
    with pytest.raises(HubError, match=r"alerts\.channels\.mail: json did not take it") as lost:
        await ByApprise("mail", False, "json://user:s3cret@127.0.0.1:1/", wording()).send(notice())
    assert "s3cret" not in str(lost.value)
    with pytest.raises(HubError, match="does not know a URL of this form") as unknown:
        await ByApprise("mail", False, "nonsense://s3cret", wording()).send(notice())
    assert not unknown.value.retryable
    assert "s3cret" not in str(unknown.value)


class Said:
    """Stands for the sender, whose own tests are elsewhere."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.patience: dict[str, Any] = {}

    async def send_hook(self, url: str, secret: str | None, message: Any) -> None:
        self.sent.append((url, secret, message))

    async def send(self, spec: BotSpec, message: Outbound, name: Any, ledger: Any, **patience: Any) -> None:
        self.sent.append((spec.id, message, name.uuid, ledger))
        self.patience = patience


async def test_a_chat_gets_a_card_under_the_alerts_own_share_and_name() -> None:
    said, spec = Said(), bot("https://open.example")
    channel = FeishuChat("chat", False, said, lambda: {"support": spec}, "support", "oc_1", wording())  # type: ignore[arg-type]
    one = notice()
    await channel.send(one)
    await channel.send(one)
    (to, message, uuid, _), again = said.sent
    assert (to, message.target.id, message.msg_type) == ("support", "oc_1", "interactive")
    assert uuid == again[2], "two nodes that send the same notice send it once"
    assert said.patience == {"priority": "alert"}
    gone = FeishuChat("chat", False, said, dict, "support", "oc_1", wording())  # type: ignore[arg-type]
    with pytest.raises(FeishuRefused, match="there is no bot support"):
        await gone.send(one)


async def test_a_custom_bot_gets_a_card() -> None:
    said = Said()
    await FeishuHook("group", False, said, "https://h/hook/s3cret", "s3cret", wording()).send(notice())
    [(url, secret, message)] = said.sent
    assert (url, secret, message["msg_type"]) == ("https://h/hook/s3cret", "s3cret", "interactive")
    assert "s3cret" not in repr(FeishuHook("group", False, said, "https://h/hook/s3cret", "s3cret", wording()))


def test_a_link_is_an_address() -> None:
    assert AlertSettings.model_validate({"link": "https://hub.example:9091"}).link == "https://hub.example:9091"
    with pytest.raises(ValueError, match="link"):
        AlertSettings.model_validate({"link": "javascript:alert(1)"})
