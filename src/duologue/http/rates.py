"""The rate limits of routes: each has one of these as its `opt`, or the server doesn't start.

Every request counts for its address, too (`core/rates.py:REQUESTS`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from litestar.handlers import BaseRouteHandler
from litestar.routes import BaseRoute, HTTPRoute

from duologue.core import rates
from duologue.errors import RatePolicy


class RouteRate(msgspec.Struct, frozen=True):
    """Limits that a request to a route counts against.

    `per_user` is the policy of the user who calls it, and `per_address` one more policy of the address. `lasts`: the
    answer may take long (a long poll, a stream). `probe`: a health check on this machine is never refused.
    """

    per_user: RatePolicy | None = None
    per_address: RatePolicy | None = None
    lasts: bool = False
    probe: bool = False


def _rated(rate: RouteRate, *, public: bool = False) -> dict[str, Any]:
    return {"rate": rate, "public": public}


READ: Final = _rated(RouteRate(rates.READ))
WRITE: Final = _rated(RouteRate(rates.WRITE))
SEND: Final = _rated(RouteRate(rates.SEND))
REACT: Final = _rated(RouteRate(rates.REACT))
COSTLY: Final = _rated(RouteRate(rates.COSTLY))
"""For a route that reads or writes many rows."""
EXPORT: Final = _rated(RouteRate(rates.EXPORT, lasts=True))
FOLLOW: Final = _rated(RouteRate(rates.READ, lasts=True))
"""For a route that waits for news."""
PUBLIC: Final = _rated(RouteRate(), public=True)
"""For a route that needs no session."""
PUBLIC_FOLLOW: Final = _rated(RouteRate(lasts=True), public=True)
SIGN_IN: Final = _rated(RouteRate(per_address=rates.SIGN_IN), public=True)
PROBE: Final = _rated(RouteRate(probe=True), public=True)


def check_rated(routes: Iterable[BaseRoute]) -> None:
    """Raises `LookupError` for a route without a rate limit, or one that needs a session and has none per user."""
    for route in routes:
        assert isinstance(route, HTTPRoute)
        for handler, _ in route.route_handler_map.values():
            rate = handler.opt.get("rate")
            if not isinstance(rate, RouteRate) or not (handler.opt["public"] or rate.per_user):
                raise LookupError(
                    f"{handler.handler_name} ({route.path}) has no rate limit: see http/rates.py"
                )


def policies(handler: BaseRouteHandler) -> list[str]:
    """The names of all policies that a request to a route counts for."""
    rate: RouteRate = handler.opt["rate"]
    return [policy.name for policy in (rates.REQUESTS, rate.per_address, rate.per_user) if policy]
