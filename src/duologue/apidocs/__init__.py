"""Documentation of the API, made from the code."""
