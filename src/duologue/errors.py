"""Every error a client can meet: one closed list, one exception.

The same codes stand in HTTP answers (RFC 9457 `application/problem+json`) and in socket frames.
`docs/errors.md` is generated from this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """Meaning of a code: its HTTP `status`, its `title`, and advice for the client."""

    status: HTTPStatus
    title: str
    advice: str


CODES: Final[dict[str, ErrorCode]] = {
    "bad_json": ErrorCode(
        HTTPStatus.BAD_REQUEST,
        "The body is not well-formed JSON",
        "Fix the client: the body can't be parsed.",
    ),
    "bad_request": ErrorCode(
        HTTPStatus.BAD_REQUEST,
        "The request is not well-formed HTTP",
        "Fix the client, or what stands before the server.",
    ),
    "bad_host": ErrorCode(
        HTTPStatus.BAD_REQUEST,
        "The `Host` header is missing, repeated, malformed, or no name of this server",
        "Call the server by its own name. Where sign-in is open, the operator names it in `public_url`.",
    ),
    "not_signed_in": ErrorCode(
        HTTPStatus.UNAUTHORIZED,
        "No valid session token was given",
        "Send `Authorization: Bearer <token>`. If you did, the session has ended: sign in again.",
    ),
    "code_wrong": ErrorCode(
        HTTPStatus.UNAUTHORIZED,
        "That is not the code",
        "Ask the user again; `attempts_left` tells how often.",
    ),
    "code_expired": ErrorCode(
        HTTPStatus.UNAUTHORIZED,
        "The code is expired, used, or was tried too often",
        "Ask for a new one by `POST /v1/verifications`.",
    ),
    "country_not_allowed": ErrorCode(
        HTTPStatus.FORBIDDEN, "No codes are sent to that country", "The operator chooses the countries."
    ),
    "bad_signature": ErrorCode(
        HTTPStatus.FORBIDDEN,
        "The callback is not from the SMS provider",
        "Only the provider can sign its callbacks.",
    ),
    "verification_not_needed": ErrorCode(
        HTTPStatus.FORBIDDEN,
        "This server signs numbers in without a code",
        "Call `POST /v1/sessions` with the phone number.",
    ),
    "verification_required": ErrorCode(
        HTTPStatus.FORBIDDEN,
        "This server asks for a code sent by SMS",
        "Call `POST /v1/verifications` first, then `POST /v1/sessions` with its id and the code.",
    ),
    "suspended": ErrorCode(
        HTTPStatus.FORBIDDEN,
        "The account is suspended",
        "Don't retry: nothing is lost, and the operator can lift the suspension. The token stays good.",
    ),
    "origin_not_allowed": ErrorCode(
        HTTPStatus.FORBIDDEN,
        "Pages of that origin may not open a socket here",
        "Serve the page from this server, or have the operator add its origin to `allowed_origins`.",
    ),
    "not_sender": ErrorCode(
        HTTPStatus.FORBIDDEN, "Only the sender may do this with a message", "Ask for one of your own."
    ),
    "not_found": ErrorCode(
        HTTPStatus.NOT_FOUND,
        "There is no such thing, or it is not yours",
        "Check the id. Someone else's chat and a chat that never was look the same.",
    ),
    "method_not_allowed": ErrorCode(
        HTTPStatus.METHOD_NOT_ALLOWED, "The path exists, the method does not", "See the `Allow` header."
    ),
    "peer_gone": ErrorCode(
        HTTPStatus.CONFLICT,
        "The other side of this chat has deleted its account",
        "Its history stays readable. Send to the phone number instead to start a new chat.",
    ),
    "message_deleted": ErrorCode(
        HTTPStatus.CONFLICT,
        "The message was deleted",
        "Nothing more can be done with it. Its place in the chat stays.",
    ),
    "too_many_reactions": ErrorCode(
        HTTPStatus.CONFLICT,
        "You have as many emoji on that message as you may",
        "Take one back first. `limits.reactions_per_user` of `GET /v1/server` tells how many there may be.",
    ),
    "edit_window_over": ErrorCode(
        HTTPStatus.CONFLICT,
        "The message is too old to be edited",
        "`limits.edit_window_seconds` of `GET /v1/server` tells for how long it could be. Deleting it is possible.",
    ),
    "log_changed": ErrorCode(
        HTTPStatus.CONFLICT,
        "The log is no longer the one that you know",
        "The server went back to an older state. Refetch the chats, send the outbox again, go on from `latest`.",
    ),
    "log_full": ErrorCode(
        HTTPStatus.CONFLICT,
        "The chat, or the event log of one of its users, has no number left",
        "Numbers end at 2,147,483,647. Nothing more can be stored there, and a retry doesn't help.",
    ),
    "events_expired": ErrorCode(
        HTTPStatus.GONE,
        "Events after that seq are no longer kept",
        "Refetch the chats, then go on from `latest`.",
    ),
    "too_large": ErrorCode(
        HTTPStatus(413),
        "The body or frame is over the limit",
        "Limits are published at `GET /v1/server`.",
    ),
    "not_json": ErrorCode(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The body is not declared as JSON",
        "Send `Content-Type: application/json`.",
    ),
    "invalid": ErrorCode(
        HTTPStatus(422),
        "The request is well-formed but not valid",
        "`errors` names each field and the reason. Unknown fields are refused so that a typo is not lost.",
    ),
    "invalid_phone": ErrorCode(
        HTTPStatus(422),
        "That is not a possible phone number",
        "Send E.164, e.g. `+33612345678`; `detail` has a hint.",
    ),
    "invalid_cursor": ErrorCode(
        HTTPStatus(422), "That cursor was not given out by this list", "Start again without a cursor."
    ),
    "self_chat": ErrorCode(
        HTTPStatus(422), "That is your own number", "A chat has two sides: give another number."
    ),
    "client_id_reused": ErrorCode(
        HTTPStatus(422),
        "That client_id already names a message with other content",
        "Use a new `client_id` for each message. The message first sent with it stands.",
    ),
    "seq_out_of_range": ErrorCode(
        HTTPStatus(422), "There is nothing with that seq yet", "Use a seq that the server has given out."
    ),
    "upgrade_required": ErrorCode(
        HTTPStatus.UPGRADE_REQUIRED,
        "At this path there is a WebSocket only",
        "Open it with a WebSocket client. See the socket's documentation.",
    ),
    "head_too_large": ErrorCode(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The head of the request is too large",
        "Send fewer or shorter headers, or a shorter URL. Limits are published at `GET /v1/server`.",
    ),
    "rate_limited": ErrorCode(
        HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", "Wait for `Retry-After` seconds, then go on."
    ),
    "internal": ErrorCode(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something failed on the server",
        "Retry with the same `client_id`: nothing is sent twice. Report it if it stays.",
    ),
    "sms_budget_spent": ErrorCode(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "What the operator allows for SMS in a day is spent",
        "Codes go out again after `Retry-After` seconds. Signed-in users are not affected.",
    ),
    "sms_unavailable": ErrorCode(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The SMS could not be handed to the network",
        "Check the number with the user, then ask again after `Retry-After` seconds.",
    ),
    "overloaded": ErrorCode(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The server can't take this now",
        "Retry after `Retry-After` seconds with the same `client_id`: nothing is sent twice.",
    ),
}


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """A published limit on how often something may be done.

    For long, `quota` times in `window` seconds (the words of the IETF draft on RateLimit fields), and at most `burst`
    at once; without a `burst`, all of the quota at once. It holds for each user, or for what `per` says.
    """

    name: str
    quota: int
    window: int
    burst: int = 0
    per: Literal["user", "address", "phone"] = "user"


class ApiError(Exception):
    """A failure with a code that a client understands.

    `detail` is shown to the client, `errors` maps a field to the reason it was refused,
    `retry_after` is in seconds, `policy` is the limit that was met, and `extra` adds members to the problem
    document.
    """

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        errors: dict[str, str] | None = None,
        retry_after: float | None = None,
        policy: RatePolicy | None = None,
        **extra: Any,
    ) -> None:
        self.code = code
        self.spec = CODES[code]
        self.detail = detail or self.spec.title
        self.errors = errors
        self.retry_after = retry_after
        self.policy = policy
        self.extra = extra
        super().__init__(f"{code}: {self.detail}")


def overloaded(detail: str = "The write queue is full") -> ApiError:
    """The one answer to a full queue or an unreachable store: try again in a second."""
    return ApiError("overloaded", detail, retry_after=1)
