"""The problem document of RFC 9457: what every failure is answered with over HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from duologue.errors import CODES
from duologue.protocol.bodies import Body, EventSeq, Time


class Problem(Body, frozen=True):
    """An error, as RFC 9457 says."""

    type: Annotated[
        str,
        Meta(
            description="Where the code is explained, relative to the server.",
            examples=["/docs/errors#invalid"],
            extra_json_schema={"format": "uri-reference"},
        ),
    ]
    title: Annotated[str, Meta(description="What the code means.")]
    status: Annotated[int, Meta(description="The HTTP status.", examples=[422])]
    detail: Annotated[str, Meta(description="What went wrong this time, for people.")]
    code: Annotated[
        str,
        Meta(
            description="What went wrong, for programs: one of a closed list.",
            examples=["invalid"],
            extra_json_schema={"enum": sorted(CODES)},
        ),
    ]
    errors: Annotated[
        dict[str, str] | UnsetType, Meta(description="Which fields or parameters were refused, and why.")
    ] = UNSET
    latest: Annotated[
        EventSeq | UnsetType,
        Meta(description="With `events_expired` and `log_changed`: go on from this seq."),
    ] = UNSET
    latest_at: Annotated[
        Time | UnsetType, Meta(description="The `at` of the event with the seq `latest`, if it is known.")
    ] = UNSET
    attempts_left: Annotated[
        int | UnsetType, Meta(description="With `code_wrong`: how often one may still try.")
    ] = UNSET
