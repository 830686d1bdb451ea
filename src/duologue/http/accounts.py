"""A user's own account."""

from __future__ import annotations

from litestar import delete, get, patch
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET

from duologue.http.rates import COSTLY, READ, WRITE
from duologue.http.request import Call
from duologue.http.route_docs import errors
from duologue.model import Privacy, Relay, ShowPresence, WhoCanWrite
from duologue.protocol import bodies, render


@get("/v1/me", tags=["Account"], opt=READ, responses=errors())
async def get_me(
    call: NamedDependency[Call],
) -> bodies.Me:
    """Get one's own profile and preferences."""
    return render.me(await call.accounts.me(call.caller), call.accounts.presets)


@patch("/v1/me", tags=["Account"], opt=WRITE, responses=errors("rate_limited", body=True))
async def update_me(
    data: JSONBody[bodies.UpdateMe],
    call: NamedDependency[Call],
) -> bodies.Me:
    """Change one's profile and preferences. Peers hear of a new name soon afterwards.

    With read receipts off, what one reads from then on is not shown to peers.
    """
    name = None if data.display_name is UNSET else data.display_name
    receipts = None if data.read_receipts is UNSET else data.read_receipts
    relay = None if data.sms_relay is UNSET else Relay[data.sms_relay.upper()]
    user = await call.accounts.update(
        call.caller, name, read_receipts=receipts, sms_relay=relay, privacy=_privacy(data)
    )
    return render.me(user, call.accounts.presets)


def _privacy(data: bodies.UpdateMe) -> Privacy:
    return Privacy(
        None if data.who_can_write is UNSET else WhoCanWrite[data.who_can_write.upper()],
        None if data.presence is UNSET else ShowPresence[data.presence.upper()],
        None if data.discoverable is UNSET else data.discoverable,
    )


@delete("/v1/me", tags=["Account"], opt=COSTLY, responses=errors())
async def delete_me(
    call: NamedDependency[Call],
) -> None:
    """Delete one's account. Peers keep the messages they got; the number can start afresh."""
    await call.accounts.delete(call.caller)


HANDLERS = [get_me, update_me, delete_me]
