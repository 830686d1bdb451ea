"""Services of a node: what its routes and its sockets call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from duologue.core.accounts import Accounts
from duologue.core.addresses import Remotes
from duologue.core.changes import Changes
from duologue.core.chats import Chats
from duologue.core.events import Events
from duologue.core.exports import Exports
from duologue.core.lookout import Lookout
from duologue.core.messages import Messages
from duologue.core.presence import PresenceTracker
from duologue.core.rates import Rates
from duologue.core.reactions import Reactions
from duologue.core.receipts import Receipts
from duologue.core.sessions import Sessions
from duologue.core.sms_callbacks import SmsCallbacks
from duologue.core.strangers import Strangers
from duologue.core.traces import Traces
from duologue.core.verifications import Verifications
from duologue.protocol.server import ServerInfo
from duologue.providers.sms.simulator import Simulator


class Services(msgspec.Struct, frozen=True):
    """Everything that a request or a frame may ask for, wired once for both.

    `check_ready` returns what is amiss although the node can serve. `origins` are those of pages that may use the
    API, `public_url` is the address under which providers reach it.
    """

    sessions: Sessions
    accounts: Accounts
    chats: Chats
    messages: Messages
    changes: Changes
    reactions: Reactions
    receipts: Receipts
    strangers: Strangers
    presence: PresenceTracker
    lookout: Lookout
    traces: Traces
    events: Events
    exports: Exports
    info: ServerInfo
    check_ready: Callable[[], Awaitable[str]]
    verifications: Verifications | None
    sms_callbacks: SmsCallbacks | None
    simulator: Simulator | None
    rates: Rates
    remotes: Remotes
    origins: Sequence[str]
    public_url: str
