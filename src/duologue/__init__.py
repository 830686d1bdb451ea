"""Duologue: private 1:1 text messaging between phone numbers."""

from importlib.metadata import version

__version__ = version("duologue")
