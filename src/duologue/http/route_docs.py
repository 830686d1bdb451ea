"""Texts of the API documentation: errors of each route, groups of routes, and the introduction."""

from __future__ import annotations

from typing import Final

from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from duologue.edge.problems import MEDIA_TYPE, problem
from duologue.errors import CODES, ApiError
from duologue.protocol.events import ServerSentEvent
from duologue.protocol.problem import Problem

_EVERYWHERE: Final = ("rate_limited", "internal", "overloaded")
_SIGNED_IN: Final = ("not_signed_in", "suspended")
_WITH_BODY: Final = ("bad_json", "too_large", "not_json", "invalid")

REPLAYED: Final = ResponseHeader(
    name="Idempotent-Replayed",
    description="`true` in a 200: this `client_id` had sent the message before. Absent from a 201.",
    documentation_only=True,
)

EVENT_STREAM: Final = {
    200: ResponseSpec(
        data_container=ServerSentEvent,
        generate_examples=False,
        media_type="text/event-stream",
        description="Without end; a comment after each silence. `event: error` with a problem says why it ends.",
    )
}

TAGS: Final = {
    "Sign in": "A session is one signed-in device. Its token goes with every other request.",
    "Account": "One's own profile, preferences and data.",
    "Chats": "A chat is the one conversation between two users. It comes into being with its first message, or when"
    " it is opened.",
    "Messages": "Messages are numbered 1, 2, 3… in each chat, without holes: one order that both sides see.",
    "Receipts": "Two marks tell how far each side of a chat has got and read. They only rise.",
    "Events": "Everything that changes for a user is an event in that user's own log, numbered without holes and kept"
    " for the retention time. A client that has applied every event up to N has missed nothing.",
    "Server": "What this server is, and whether it is well.",
    "SMS providers": "What SMS providers call: receipts, and what people answer by SMS. Each call is proved by the"
    " provider's own signature.",
    "Phone simulator": "Handsets to try the server with. There only while the simulator is the SMS provider.",
}
"""The groups of routes, in the order in which they are shown."""

INTRODUCTION: Final = """\
Private text messages between two phone numbers: durable, in one order, exactly once.

## A first conversation

Sign in, send a message, and read it back. (Where a code proves the number, ask for one first: see
[Sign in](#sign-in).)

```
SERVER=http://127.0.0.1:8000

curl $SERVER/v1/sessions -H 'Content-Type: application/json' \\
  -d '{"phone": "+33612345678"}'
TOKEN=…   # the answer's `token`

curl $SERVER/v1/messages -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '{"to": "+447700900123", "text": "Are you there?", "client_id": "first-1"}'

curl $SERVER/v1/chats -H "Authorization: Bearer $TOKEN"
```

## Conventions

- Requests and answers are JSON in UTF-8. Unknown fields in a request are refused, so that a typo is not lost; an
  answer may gain fields within v1, so ignore what you don't know.
- `Authorization: Bearer <token>` goes with everything but signing in and `GET /v1/server`.
- Times are RFC 3339 in UTC with milliseconds, from the server's clock. Ids are opaque strings. Phone numbers are
  E.164.
- Lists come as `{"items": […], "next": "<cursor>"}`; `next` is null at the end. Messages and events are paged by
  `seq`.
- An error is an `application/problem+json` document (RFC 9457). Its `code` is one of a [closed list](/docs/errors).
- An unknown path is answered with 404 `not_found`, a method that a path doesn't have with 405 `method_not_allowed`
  and an `Allow` header, and what isn't HTTP at all with a bare 400.

## Safe to repeat

A message is answered for only once it is durable. If the answer gets lost, send the same request again, with the
same `client_id`: the message is stored once, and the answer is the same one with status 200 and
`Idempotent-Replayed: true`. The same `client_id` with other content is refused with `client_id_reused`. This holds
for ever, on every path, across restarts.

Everything else may be repeated too: opening a chat, moving a mark and signing out come to the same in the end.
"""
"""Markdown, of which the pages know headings, lists, fenced code, `code` and links."""

_SHOWN: Final = {
    "bad_json": ApiError("bad_json", "The body can't be parsed as JSON: Input data was truncated."),
    "invalid": ApiError("invalid", errors={"text": "Expected `str` of length >= 1"}),
    "invalid_phone": ApiError(
        "invalid_phone",
        "It must start with + and the country code (e.g. +33612345678).",
        errors={"phone": "It must start with + and the country code (e.g. +33612345678)."},
    ),
    "invalid_cursor": ApiError("invalid_cursor", errors={"cursor": "was not given out by this list"}),
    "self_chat": ApiError("self_chat", errors={"phone": "is your own number"}),
    "seq_out_of_range": ApiError("seq_out_of_range", errors={"seq": "is beyond the chat's last message"}),
    "events_expired": ApiError(
        "events_expired",
        "Events up to 80 are no longer kept.",
        latest=125,
        latest_at="2026-11-23T09:30:01.480Z",
    ),
    "log_changed": ApiError(
        "log_changed", "The log ends at 120 now.", latest=120, latest_at="2026-11-23T09:12:41.007Z"
    ),
    "not_found": ApiError("not_found", "There is no such chat of yours."),
    "code_wrong": ApiError("code_wrong", attempts_left=3),
    "not_signed_in": ApiError("not_signed_in", "The token is unknown, or its session has ended."),
}


def example(code: str) -> ApiError:
    """An error with this code, as a client may meet it."""
    return _SHOWN.get(code) or ApiError(code)


def errors(*codes: str, signed_in: bool = True, body: bool = False) -> dict[int, ResponseSpec]:
    """Return a route's error answers by status, each code with an example."""
    every = [*codes, *_EVERYWHERE, *(_SIGNED_IN if signed_in else ()), *(_WITH_BODY if body else ())]
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(every):
        by_status.setdefault(int(CODES[code].status), []).append(code)
    return {status: _spec(group) for status, group in sorted(by_status.items())}


def _spec(codes: list[str]) -> ResponseSpec:
    return ResponseSpec(
        data_container=Problem,
        generate_examples=False,
        media_type=MEDIA_TYPE,
        description=" ".join(f"`{code}`: {CODES[code].title}." for code in codes),
        examples=[
            Example(id=code, summary=CODES[code].advice, value=problem(example(code))) for code in codes
        ],
    )
