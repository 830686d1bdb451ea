"""Reaching users who are away: which channels are asked about a message that no device has acknowledged in time."""
