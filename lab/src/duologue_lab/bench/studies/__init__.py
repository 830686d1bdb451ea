"""Measurements for those who work on the server, each a program: `python -m duologue_lab.bench.studies.<name>`."""
