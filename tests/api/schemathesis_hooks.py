"""Knowledge of this API for schemathesis: how one signs in, what a phone number is, which rules join two fields."""

from __future__ import annotations

import json
from typing import Any

import httpx
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.auths import AuthContext
from schemathesis.generation.meta import TestPhase

AnyCase = Case[Any]
PHONE = "+33639980001"
PEER = "+33639980002"
MESSAGES = 9
# Numbers that regulators keep free for fiction, and formats that are forgiven.
PHONES = st.one_of(
    st.integers(0, 99).map(lambda number: f"+336399800{number:02d}"),
    st.integers(0, 999).map(lambda number: f"+447700900{number:03d}"),
    st.integers(100, 199).map(lambda number: f"+1 (202) 555-0{number}"),
)
# Rules that no schema of one field can tell: they join two fields, or are about how a number is written.
BEYOND_SCHEMAS = {
    "only one of before, after, around may be given",
    "is required (or the Idempotency-Key header)",
    "differs from the Idempotency-Key header",
    "Expected `int`, got `float`",  # 5.0 is an integer to JSON Schema
    "Expected `int | null`, got `float`",
    "is unreachable, so it can't send",
    "is the time of an event: after must tell which",
    "is the time of an event: seq must tell which",
    "is not a time as RFC 3339 writes it, e.g. 2026-11-23T09:30:00.123Z",  # `format` only annotates
}
ONE_OF_TWO = "POST /v1/sessions"
"""Takes a phone number, or a verification and its code: no schema without `anyOf` tells which must be there."""
SIGNED_OUT = {"DELETE /v1/me", "DELETE /v1/sessions/{session_id}"}
LONGEST_WAIT = 60

schemathesis.openapi.format("e164", PHONES)
_token: list[str] = []
_chat: list[str] = []


@schemathesis.auth(refresh_interval=None)
class SignedIn:
    """Somebody with a chat and a few messages; anew whenever the tests have signed them out."""

    def get(self, case: AnyCase, _: AuthContext) -> str:
        if not _token:
            _token.append(_sign_in(case.operation.schema.get_base_url().rstrip("/")))
        return _token[0]

    def set(self, case: AnyCase, token: str, _: AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {token}"


def _sign_in(url: str) -> str:
    signed = httpx.post(f"{url}/v1/sessions", json={"phone": PHONE}).raise_for_status()
    token: str = signed.json()["token"]
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as client:
        for number in range(MESSAGES):
            body = {"to": PEER, "text": "Hello", "client_id": f"{token}-{number}"}
            sent = client.post(f"{url}/v1/messages", json=body).raise_for_status()
    _chat[:] = [sent.json()["chat_id"]]
    return token


@schemathesis.hook
def after_call(_: HookContext, case: AnyCase, response: Response) -> None:
    if case.operation.label in SIGNED_OUT and response.status_code == 204:
        _token.clear()


@schemathesis.hook
def before_call(_: HookContext, case: AnyCase, _kwargs: dict[str, Any]) -> None:
    """Nobody sits out a long poll of a minute; most chats are ours, most seqs have been given out."""
    wait = str(case.query.get("wait", ""))
    if wait.replace(".", "", 1).isdigit() and float(wait) <= LONGEST_WAIT:
        case.query["wait"] = float(wait) / 1000
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.meta.phase.name is TestPhase.STATEFUL and case.operation.label == "POST /v1/sessions":
        case.body = {"phone": PHONE}
    if case.meta.phase.name is TestPhase.FUZZING:
        if len(case.path_parameters.get("chat_id", "")) % 3 and _chat:
            case.path_parameters["chat_id"] = _chat[0]
        body = case.body if isinstance(case.body, dict) else {}
        for name in body.keys() & {"seq", "reply_to"}:
            seq = body[name]
            if isinstance(seq, int | float):
                body[name] = int(seq) % (2 * MESSAGES) + 1


@schemathesis.check
def what_fits_the_schema_is_not_invalid(_: CheckContext, response: Response, case: AnyCase) -> None:
    """The 422 `invalid`, and 400 and 415, are for what breaks the schema, and for the few rules it can't tell."""
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if not positive or response.status_code not in {400, 415, 422}:
        return
    problem = json.loads(response.content)
    reasons = set(problem.get("errors", {}).values())
    if case.operation.label == ONE_OF_TWO:
        reasons.discard("is required")
    assert problem["code"] not in {"invalid", "bad_json", "not_json"} or reasons <= BEYOND_SCHEMAS, problem
