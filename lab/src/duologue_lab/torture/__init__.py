"""The torture: many clients, bad networks and dying servers, and a verdict from the history of what was seen.

`history` is what is written down, `checker` decides from it alone, `faults` tests the checker; the other modules
make a history with a real system.
"""
