"""A failure that nobody foresaw: the client learns that it happened, and nothing else."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support.client import api_of
from tests.support.node import node_running

pytestmark = pytest.mark.anyio


async def test_an_unforeseen_failure_shows_nothing_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("SELECT secret FROM vault")

    async with node_running(tmp_path) as running, api_of(running.url) as api:
        ana, _, chat_id = await api.friends()
        monkeypatch.setattr(running.node.db, "read", fails)
        with caplog.at_level(logging.ERROR):
            answer = await ana.ask("GET", f"/v1/chats/{chat_id}/messages")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        for inside in ("SELECT", "vault", "RuntimeError", "Traceback", ".py"):
            assert inside not in answer.text
        assert "SELECT secret FROM vault" in caplog.text
        assert chat_id in caplog.text
        assert ana.token not in caplog.text
        monkeypatch.undo()
        assert (await ana.ask("GET", f"/v1/chats/{chat_id}/messages")).is_success
