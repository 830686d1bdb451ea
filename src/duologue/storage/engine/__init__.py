"""Engines: SQLite and PostgreSQL behind one `Database`."""
