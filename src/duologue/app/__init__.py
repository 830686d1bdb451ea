"""Wiring: settings become parts, and parts a node."""
