"""Storage functions, a file a noun."""
