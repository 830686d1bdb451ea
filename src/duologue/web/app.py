"""The HTTP application: routes, strict decoding, problems. It gets its parts ready-made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig

from duologue.core.accounts import Accounts
from duologue.core.chats import Chats
from duologue.core.events import Events
from duologue.core.limits import MAX_BODY
from duologue.core.messages import Messages
from duologue.core.receipts import Receipts
from duologue.core.sessions import Sessions
from duologue.protocol.bodies import ServerInfo
from duologue.web import accounts, chats, events, messages, receipts, server
from duologue.web.problems import handle
from duologue.web.request import StrictRequest, provide_caller, require_session

_HANDLERS: Final[list[Any]] = [
    *server.HANDLERS,
    *accounts.HANDLERS,
    *chats.HANDLERS,
    *messages.HANDLERS,
    *receipts.HANDLERS,
    *events.HANDLERS,
]

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


class Services(msgspec.Struct, frozen=True):
    """What the routes call."""

    sessions: Sessions
    accounts: Accounts
    chats: Chats
    messages: Messages
    receipts: Receipts
    events: Events
    info: ServerInfo
    check_ready: Callable[[], Awaitable[None]]


def make_app(
    services: Services, openapi: OpenAPIConfig | None, lifespan: Sequence[Lifespan] = ()
) -> Litestar:
    """The ASGI application over these services."""
    dependencies = {
        name: _given(getattr(services, name))
        for name in ("sessions", "accounts", "chats", "messages", "receipts", "events")
    }
    dependencies["caller"] = Provide(provide_caller, sync_to_thread=False)
    return Litestar(
        route_handlers=_HANDLERS,
        guards=[require_session],
        dependencies=dependencies,
        exception_handlers={Exception: handle},
        request_class=StrictRequest,
        request_max_body_size=MAX_BODY,
        openapi_config=openapi,
        lifespan=list(lifespan),
        state=State(
            {"sessions": services.sessions, "info": services.info, "check_ready": services.check_ready}
        ),
        logging_config=None,
    )


def _given(part: Any) -> Provide:
    return Provide(lambda: part, sync_to_thread=False)
