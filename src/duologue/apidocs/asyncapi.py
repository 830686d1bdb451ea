"""The socket as an AsyncAPI 3.1 document, made from the structs that are decoded and encoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

import msgspec
from litestar import get

from duologue import __version__
from duologue.apidocs.schemas import schemas_of
from duologue.core import limits
from duologue.errors import CODES
from duologue.http.rates import PUBLIC
from duologue.protocol import events, frames

Json = dict[str, Any]

_EXAMPLES: Final[dict[str, Json]] = {
    "Hello": {
        "op": "hello",
        "token": "dlg_3q2-7wEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWc",
        "after": 120,
        "at": "2026-11-23T09:12:41.007Z",
    },
    "Send": {
        "op": "send",
        "chat_id": "cht_73877ea809a4fa99",
        "text": "Are you at the station already?",
        "client_id": "01936f3e-7d1c-7cc3-b9a4-1f0c2b6f8d11",
        "ref": "r1",
    },
    "Ack": {"op": "ack", "seq": 124, "at": "2026-11-23T09:30:00.123Z"},
    "Read": {"op": "read", "chat_id": "cht_73877ea809a4fa99", "seq": 42},
    "Typing": {"op": "typing", "chat_id": "cht_73877ea809a4fa99", "active": True},
    "Watch": {"op": "watch", "user_ids": ["usr_0bbd0b9c3f6daedf"]},
    "Ping": {"op": "ping", "ref": "p1"},
    "CaughtUp": {"op": "caught_up", "seq": 124, "at": "2026-11-23T09:30:00.123Z"},
    "PeerTyping": {
        "op": "typing",
        "chat_id": "cht_73877ea809a4fa99",
        "user_id": "usr_0bbd0b9c3f6daedf",
        "active": True,
    },
    "Presence": {
        "op": "presence",
        "user_id": "usr_0bbd0b9c3f6daedf",
        "online": False,
        "last_seen_at": "2026-11-23T09:30:00.000Z",
    },
    "Pong": {"op": "pong", "ref": "p1"},
    "Error": {
        "op": "error",
        "code": "client_id_reused",
        "detail": "That client_id already names a message with other content",
        "ref": "r1",
        "client_id": "01936f3e-7d1c-7cc3-b9a4-1f0c2b6f8d11",
    },
}


def document() -> Json:
    """The AsyncAPI document."""
    client, server = get_args(frames.AnyClientFrame), get_args(frames.AnyServerFrame)
    kinds = get_args(events.Event)
    _, schemas = schemas_of((*client, *server, *kinds))
    schemas["Event"] = _event_frame(schemas, kinds)
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Duologue",
            "version": __version__,
            "description": "The socket: one gap-free log, live. The same over HTTP stands in `/openapi.json`.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "this": {
                "host": "localhost:8000",
                "protocol": "ws",
                "security": [_ref("securitySchemes", "session")],
            }
        },
        "channels": {"socket": _channel([*client, *server])},
        "operations": {
            "say": _operation("receive", "What a client may say.", client),
            "hear": _operation("send", "What the server says.", server),
        },
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in (*client, *server)},
            "schemas": schemas,
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of a session; where headers can't be set, it stands in `hello`.",
                }
            },
        },
        "x-close-codes": {
            str(code): msgspec.to_builtins(meaning) for code, meaning in frames.CLOSE_CODES.items()
        },
        "x-error-codes": {code: spec.title for code, spec in CODES.items()},
    }


def _event_frame(schemas: Json, kinds: Sequence[Any]) -> Json:
    """Return the schema of an event's frame: of each kind of event, with the frame's `op` beside it.

    The kinds in `schemas` become those of the frame: no other message has them.
    """
    operation = schemas["Event"]["properties"]["op"]
    for kind in kinds:
        schema = schemas[kind.__name__]
        schema["properties"] = {"op": operation} | schema["properties"]
        schema["required"] = ["op", *schema["required"]]
    return {
        "title": "Event",
        "description": schemas["Event"]["description"],
        "oneOf": [_ref("schemas", kind.__name__) for kind in kinds],
        "discriminator": "type",
    }


def _channel(kinds: list[Any]) -> Json:
    return {
        "address": "/v1/socket",
        "description": (
            f"A WebSocket (RFC 6455). Subprotocol `{frames.SUBPROTOCOL_JSON}`: JSON in text frames;"
            f" `{frames.SUBPROTOCOL_MSGPACK}`: the same in MessagePack, in binary frames. At most"
            f" {limits.MAX_FRAME} bytes a frame. Each frame is a map. `hello` comes first."
        ),
        "messages": {kind.__name__: _ref("messages", kind.__name__) for kind in kinds},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _operation(action: str, summary: str, kinds: tuple[Any, ...]) -> Json:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/socket"},
        "messages": [{"$ref": f"#/channels/socket/messages/{kind.__name__}"} for kind in kinds],
    }


def _message(kind: Any) -> Json:
    message = {
        "name": kind.__struct_config__.tag,
        "title": kind.__name__,
        "summary": (kind.__doc__ or "").split("\n")[0],
        "payload": _ref("schemas", kind.__name__),
    }
    if kind.__name__ in _EXAMPLES:
        message["examples"] = [{"payload": _EXAMPLES[kind.__name__]}]
    return message


def _ref(section: str, name: str) -> Json:
    return {"$ref": f"#/components/{section}/{name}"}


@get(
    "/asyncapi.json", opt=PUBLIC, include_in_schema=False, media_type="application/json", sync_to_thread=False
)
def asyncapi_json() -> bytes:
    """The AsyncAPI document."""
    return msgspec.json.encode(document())


HANDLERS: Final[list[Any]] = [asyncapi_json]
