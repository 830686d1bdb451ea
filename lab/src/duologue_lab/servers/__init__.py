"""Real servers as child processes, for the benchmarks, the torture and the tests. PostgreSQL and NATS are wheels."""
