"""The rules. No SQL, no HTTP."""
