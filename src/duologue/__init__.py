"""Duologue: private 1:1 text messaging between phone numbers."""

__version__ = "0.1.0"
