"""A handset of the simulated phone network, in a terminal: it shows what arrives, answers and misbehaves."""

from __future__ import annotations

from duologue.handset.console import run
from duologue.handset.network import PhoneError

__all__ = ["PhoneError", "run"]
