"""Bytes of one connection that wait: in the kernel, and for the kernel."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

KERNEL_BUFFER: Final = 64 * 1024
"""Bytes that the kernel may hold in each direction."""
HIGH_WATER: Final = 64 * 1024
"""Bytes that may wait for the kernel before whoever writes is told to pause."""
LOW_WATER: Final = 16 * 1024
"""Bytes that still wait when writing may go on."""


def bound_buffers(transport: asyncio.Transport) -> None:
    """Keep what waits in the kernel small, and so memory and the time until a slow peer is noticed."""
    transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
    sock = transport.get_extra_info("socket")
    # picows' read buffer grows with the largest read and never shrinks.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
    if sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, KERNEL_BUFFER)
