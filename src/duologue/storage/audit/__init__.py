"""Whole databases: checked, copied, salvaged."""
