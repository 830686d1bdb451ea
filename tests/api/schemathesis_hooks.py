"""What schemathesis must know of this API: how one signs in, what a phone number is, which rules join two fields."""

from __future__ import annotations

import json
from typing import Any

import httpx
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.auths import AuthContext
from schemathesis.generation.meta import TestPhase

PHONE = "+33639980001"
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
}
SIGNED_OUT = {"DELETE /v1/me", "DELETE /v1/sessions/{session_id}"}

schemathesis.openapi.format("e164", PHONES)
_token: list[str] = []


@schemathesis.auth(refresh_interval=None)
class SignedIn:
    """Signs in anew whenever the tests have signed us out."""

    def get(self, case: Case, _: AuthContext) -> str:
        if not _token:
            base = case.operation.schema.get_base_url()
            answer = httpx.post(f"{base.rstrip('/')}/v1/sessions", json={"phone": PHONE})
            _token.append(answer.raise_for_status().json()["token"])
        return _token[0]

    def set(self, case: Case, token: str, _: AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def after_call(_: HookContext, case: Case, response: Response) -> None:
    if f"{case.method} {case.operation.path}" in SIGNED_OUT and response.status_code == 204:
        _token.clear()


@schemathesis.hook
def before_call(_: HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Nobody sits out a long poll of a minute, and whoever signs in to sign out again is one of us."""
    wait = str(case.query.get("wait", ""))
    if wait.replace(".", "", 1).isdigit() and float(wait) <= 60:
        case.query["wait"] = float(wait) / 1000
    stateful = case.meta is not None and case.meta.phase.name is TestPhase.STATEFUL
    if stateful and case.operation.label == "POST /v1/sessions" and case.meta.generation.mode.is_positive:
        case.body = {"phone": PHONE}


@schemathesis.check
def what_fits_the_schema_is_not_invalid(_: CheckContext, response: Response, case: Case) -> None:
    """The 422 `invalid`, and 400 and 415, are for what breaks the schema, and for the few rules it can't tell."""
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if not positive or response.status_code not in {400, 415, 422}:
        return
    problem = json.loads(response.content)
    reasons = set(problem.get("errors", {}).values())
    assert problem["code"] not in {"invalid", "bad_json", "not_json"} or reasons <= BEYOND_SCHEMAS, problem
