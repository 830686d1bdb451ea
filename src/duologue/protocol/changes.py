"""Bodies of requests that change a message."""

from __future__ import annotations

from duologue.protocol.bodies import Request, Text


class EditMessage(Request):
    """Another text for a message."""

    text: Text
