"""The documented side of every route: which errors it can answer with, and the OpenAPI document as a whole."""

from __future__ import annotations

from typing import Final

from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from duologue.errors import CODES, ApiError
from duologue.protocol.bodies import Problem
from duologue.web.problems import MEDIA_TYPE, problem

_EVERYWHERE: Final = ("internal", "overloaded")
_SIGNED_IN: Final = ("not_signed_in",)
_WITH_BODY: Final = ("bad_json", "too_large", "not_json", "invalid")


def errors(*codes: str, signed_in: bool = True, body: bool = False) -> dict[int, ResponseSpec]:
    """What a route can answer besides its success, by status, each code with an example."""
    every = [*codes, *_EVERYWHERE, *(_SIGNED_IN if signed_in else ()), *(_WITH_BODY if body else ())]
    by_status: dict[int, list[str]] = {}
    for code in every:
        by_status.setdefault(int(CODES[code].status), []).append(code)
    return {status: _spec(group) for status, group in sorted(by_status.items())}


def _spec(codes: list[str]) -> ResponseSpec:
    return ResponseSpec(
        data_container=Problem,
        generate_examples=False,
        media_type=MEDIA_TYPE,
        description="; ".join(f"`{code}`: {CODES[code].title}" for code in codes),
        examples=[
            Example(id=code, summary=CODES[code].advice, value=problem(ApiError(code))) for code in codes
        ],
    )


REPLAYED: Final = ResponseHeader(
    name="Idempotent-Replayed",
    description="`true` when this `client_id` had sent the message before.",
    documentation_only=True,
)
