"""Providers of channels to users who have no device at hand."""
