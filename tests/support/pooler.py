"""A pooler as far as it matters for locks: PostgreSQL never learns that a client has gone."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from duologue_lab.servers.postgres import Postgres
from duologue_lab.servers.process import delete_folder, temporary_folder

_NAME = ".s.PGSQL.5432"
_GOODBYE = b"X\x00\x00\x00\x04"
"""The message with which a client ends its session."""
_CHUNK = 65_536
"""Bytes."""


@contextlib.contextmanager
def kept_backends(postgres: Postgres) -> Iterator[Path]:
    """A folder with a socket to this PostgreSQL. Sessions through it last as long as the context does."""
    folder = temporary_folder()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / _NAME))
    listener.listen()
    backends: list[socket.socket] = []
    threading.Thread(target=_serve, args=(listener, postgres.folder / _NAME, backends), daemon=True).start()
    try:
        yield folder
    finally:
        for each in (listener, *backends):
            # To close it is not enough: a thread waits in it.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        delete_folder(folder)


def _serve(listener: socket.socket, address: Path, backends: list[socket.socket]) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            backend = socket.socket(socket.AF_UNIX)
            backend.connect(str(address))
            backends.append(backend)
            threading.Thread(target=_pass_on, args=(backend, client), daemon=True).start()
            threading.Thread(target=_serve_client, args=(client, backend), daemon=True).start()


def _serve_client(client: socket.socket, backend: socket.socket) -> None:
    with client:
        _pass_on(client, backend)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data.removesuffix(_GOODBYE))
