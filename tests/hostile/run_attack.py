"""Run one attack in a process of its own: `python -m tests.hostile.run_attack MODULE FUNCTION SECONDS < TARGET`."""

from __future__ import annotations

import importlib
import os
import sys
import time

from tests.hostile.target import Target


def main(module: str, function: str, seconds: str) -> None:
    """Say `attacking`, attack again and again until the time is over, and end with 0."""
    # Others' latency must tell of the server's work, not of the attacker's own hunger for CPU.
    os.nice(10)
    attack = getattr(importlib.import_module(module), function)
    target = Target.from_json(sys.stdin.readline())
    sys.stdout.write("attacking\n")
    sys.stdout.flush()
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        attack(target, until)


if __name__ == "__main__":
    main(*sys.argv[1:])
