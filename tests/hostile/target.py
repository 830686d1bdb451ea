"""Parameters of an attack: the server's address, and the attacker's account."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass, field, replace
from typing import Self

ATTACKER = "127.9.9.9"
"""The address that attacks come from: of this machine, and in another /24 than the bystanders' 127.0.0.1."""


@dataclass(frozen=True)
class Target:
    """A server under attack. `token` is a session of the attacker's, `chat_id` a chat with somebody else.

    `peers` are ids of users whom the attacker has written to, `spare` tokens of accounts that the attacker can lose.
    """

    port: int
    token: str
    chat_id: str
    host: str = "127.0.0.1"
    peers: list[str] = field(default_factory=list)
    spare: list[str] = field(default_factory=list)

    def accounts(self) -> list[Self]:
        """The same server, with each of the accounts that can be lost."""
        return [replace(self, token=token) for token in self.spare]

    def connect(self, *, source: str = ATTACKER, receive_buffer: int = 0) -> socket.socket:
        """A TCP connection from the address `source`. Raises `OSError` where the server takes none.

        `receive_buffer` is how many bytes the attacker's kernel takes while nobody reads; 0: what is usual.
        """
        tcp = socket.socket()
        if receive_buffer:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        tcp.bind((source, 0))
        tcp.settimeout(5.0)
        tcp.connect((self.host, self.port))
        return tcp

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """The head of an HTTP/1.1 request by the attacker, signed in."""
        fixed = (f"Host: {self.host}:{self.port}", f"Authorization: Bearer {self.token}")
        return "\r\n".join((f"{method} {path} HTTP/1.1", *fixed, *lines, "", "")).encode("latin-1")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))
