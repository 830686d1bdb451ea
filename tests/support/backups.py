"""Backups of a database, put back as an operator does it: while no server runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Backup:
    """A copy of the database at a URL, as it is when this is made. Nobody may be connected to it then."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._put(there=False)

    def put_back(self) -> None:
        """Have the database be as it was. Nobody may be connected to it."""
        self._put(there=True)

    def _put(self, *, there: bool) -> None:
        if self._url.startswith("sqlite:///"):
            self._put_file(Path(self._url.removeprefix("sqlite:///")), there=there)
        else:
            self._put_database(there=there)

    def _put_file(self, live: Path, *, there: bool) -> None:
        kept = live.with_suffix(".backup")
        source, target = (kept, live) if there else (live, kept)
        for rest in ("", "-wal", "-shm"):
            target.with_name(target.name + rest).unlink(missing_ok=True)
        with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
            one.backup(other)

    def _put_database(self, *, there: bool) -> None:
        live = str(conninfo_to_dict(self._url)["dbname"])
        kept = f"{live}_kept"
        source, target = (kept, live) if there else (live, kept)
        with psycopg.connect(make_conninfo(self._url, dbname="postgres"), autocommit=True) as connection:
            for command in ("DROP DATABASE IF EXISTS {target}", "CREATE DATABASE {target} TEMPLATE {source}"):
                names = {"target": sql.Identifier(target), "source": sql.Identifier(source)}
                connection.execute(sql.SQL(command).format(**names))

    def drop(self) -> None:
        """Delete the copy."""
        if not self._url.startswith("sqlite:///"):
            kept = f"{conninfo_to_dict(self._url)['dbname']}_kept"
            with psycopg.connect(make_conninfo(self._url, dbname="postgres"), autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(kept)))
