"""All faults of the mutation run."""

from __future__ import annotations

from typing import Final

from duologue_lab.mutants.of_logs import LOG
from duologue_lab.mutants.of_rules import RELAY, STRANGERS
from duologue_lab.mutants.of_writes import MARKS, MESSAGES

MUTANTS: Final = (*LOG, *MESSAGES, *MARKS, *RELAY, *STRANGERS)
