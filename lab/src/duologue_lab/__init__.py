"""All that tries Duologue and isn't part of it: test servers, torture, benchmarks and mutants."""
