"""Each socket is an open file, of which a process may only have so many."""

from __future__ import annotations

import resource
from typing import Final

_OTHERS: Final = 500  # open files beside the sockets
_PLENTY: Final = 100_000  # open files


def allow_files() -> None:
    """Let this process, and what it starts from now on, have as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _PLENTY if hard == resource.RLIM_INFINITY else min(hard, _PLENTY)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_sockets(count: int) -> None:
    """Raises `ValueError` if this process may not have so many."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count + _OTHERS:
        raise ValueError(
            f"{count} sockets need {count + _OTHERS} open files; the limit is {soft} (ulimit -Hn)"
        )
