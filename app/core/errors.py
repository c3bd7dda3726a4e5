"""The one tree of errors: what was wrong, where, what to do, and whether trying again can help.

HubError
├── ConfigError                 a directory, file, key or environment value is wrong; carries every fault found
├── StartError                  the node must not start (engine in use, wrong master key, node id taken)
├── RequestRefused              an HTTP request is answered with an error; carries status and public code
│   ├── BadRequest              400
│   ├── NotVerified             401; `check` says which check failed, for log and metric only
│   ├── Forbidden               403
│   ├── UnknownBot              404
│   ├── TooLarge                413
│   ├── TooMany                 429
│   └── Unavailable             503
├── StoreUnavailable            Redis or the database did not answer or refused a write
├── Fenced                      a claim was lost to another owner: what was being done must stop
├── SealBroken                  sealed bytes do not open: wrong key, wrong place, or damaged
├── FeishuError                 Feishu answered with a code
│   ├── FeishuLimited           too often; carries which bound (`app`, `chat`, `quota`)
│   ├── FeishuTokenInvalid      the access token is no longer good
│   ├── FeishuUnavailable       no answer, a broken answer or an internal error
│   └── FeishuRefused           will never work as it stands (content, rights, set-up)
│       ├── TargetGone          the message, chat or user is no longer there
│       ├── AppRefused          nothing of the app would be taken: its secret, its state or its place
│       └── ScopeMissing        the app lacks a scope, which this kind of call needs
├── OutcomeUnknown              it may have been sent: repeating it could say it twice
├── SlotTimeout                 no send slot before the deadline
├── FetchRefused                a URL is not fetched: where it leads to, or what it answers, is not allowed
├── HandlerTimeout              bot code took longer than its `timeout`
└── Misused                     bot code that can never work as it is written; the text is about the code alone
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal


class HubError(Exception):
    """An error the hub raises on purpose; `retry_after` is in seconds."""

    retryable: bool = False
    retry_after: float | None = None

    def __init__(self, message: str, *, retryable: bool | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        if retryable is not None:
            self.retryable = retryable
        if retry_after is not None:
            self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a configuration: file, key, what was found, what is allowed."""

    file: str
    key: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.problem}" if self.key else f"{self.file}: {self.problem}"


class ConfigError(HubError):
    """Every fault of a configuration at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class StartError(HubError):
    """The node must not start as things are; the message says what to change."""


class RequestRefused(HubError):
    """An HTTP request that is answered with an error; the message is what the caller reads."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"


class BadRequest(RequestRefused):
    """Not JSON, not an event, or cannot be decrypted."""


class NotVerified(RequestRefused):
    """The sender is not proved; `check` names the failed check for log and metric, never for the caller."""

    status = 401
    code = "not_verified"

    def __init__(self, check: str) -> None:
        super().__init__("the request could not be verified")
        self.check = check


class Forbidden(RequestRefused):
    """The source address is not allowed."""

    status = 403
    code = "forbidden"


class UnknownBot(RequestRefused):
    """No bot of that name is configured."""

    status = 404
    code = "unknown_bot"


class TooLarge(RequestRefused):
    """The body is over the bound."""

    status = 413
    code = "too_large"


class TooMany(RequestRefused):
    """Too many refused requests from one address."""

    status = 429
    code = "too_many_requests"
    retryable = True


class Unavailable(RequestRefused):
    """The event cannot be kept safe now; Feishu redelivers."""

    status = 503
    code = "unavailable"
    retryable = True


class StoreUnavailable(HubError):
    """Redis or the database did not answer, or refused to write."""

    retryable = True


class Fenced(HubError):
    """The claim on a conversation went to another owner."""


class SealBroken(HubError):
    """Sealed bytes do not open under the bot's key at this place."""


class FeishuError(HubError):
    """Feishu answered an API call with a code other than 0."""

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        status: int = 0,
        log_id: str = "",
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, retryable=retryable, retry_after=retry_after)
        self.code = code
        self.status = status
        self.log_id = log_id


class FeishuLimited(FeishuError):
    """Too often; `bound` says what is limited: the app's API, the chat, or the month's quota."""

    retryable = True
    bound: Literal["app", "chat", "quota"] = "app"


class FeishuTokenInvalid(FeishuError):
    """The access token is not (or no longer) accepted."""

    retryable = True


class FeishuUnavailable(FeishuError):
    """No answer, a broken answer, or an internal error of Feishu; `sent` is False when the request never left."""

    retryable = True
    sent: bool = True


class FeishuRefused(FeishuError):
    """The call can never succeed as it stands."""


class TargetGone(FeishuRefused):
    """The message, chat or user that was addressed is no longer there."""


class AppRefused(FeishuRefused):
    """Feishu takes nothing from the app as it is set up; whoever can wait does, until that is mended."""


class ScopeMissing(FeishuRefused):
    """The app lacks a scope that this kind of call needs (one of `scopes`): who can wait does, others go on."""

    scopes: tuple[str, ...] = ()


class OutcomeUnknown(HubError):
    """A send may have arrived and can no longer be repeated safely."""


class SlotTimeout(HubError):
    """No send slot could be had before the deadline; `retry_after` says when one may be free."""

    retryable = True
    whole_app: bool = False
    """Whether every call of that API by the app has to wait, not only those to one chat."""


class FetchRefused(HubError):
    """A URL was not fetched; the message names its host, never the rest of it."""


class HandlerTimeout(HubError):
    """Bot code did not end within its `timeout`."""


class Misused(HubError):
    """Bot code that can never work as it is written; its text quotes code, never data, and may be shown and logged."""
