"""Destinations and prices of SMS in a test."""

from __future__ import annotations

from typing import Any

import msgspec

from duologue.core.sms_policy import Spending


def split_spending(choices: dict[str, Any]) -> dict[str, Any]:
    """The choices with those that `Spending` takes gathered in it; usually anywhere, without a limit."""
    usual: dict[str, Any] = {"allowed": (), "denied": (), "daily_budget": 0, "prices": {"*": 100_000}}
    usual["unassigned"] = False
    given = {name: choices[name] for name in msgspec.structs.asdict(Spending(**usual)) if name in choices}
    rest = {name: value for name, value in choices.items() if name not in given}
    return rest | {"spending": Spending(**(usual | given))}
