"""Hostile clients: what one of them does costs the server little, and the others nothing."""
