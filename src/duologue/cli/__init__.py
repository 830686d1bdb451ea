"""The command line."""

from duologue.cli.commands import app, main

__all__ = ["app", "main"]
