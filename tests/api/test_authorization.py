"""The authorization matrix: every route and frame, made from OpenAPI and AsyncAPI, for everybody who must not get in.

A new route or frame is in the matrix as soon as it is documented, and an undocumented one fails here.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx
import pytest
from litestar.routes import HTTPRoute

from duologue.app.node import Node
from duologue.cli import users
from duologue.clock import DAY, now_ms
from duologue.config import Settings
from duologue.core.sessions import hash_token
from duologue_lab.servers.server import DuologueServer
from tests.docs.pages import DOCS
from tests.support.client import Api, Device, Frame, api_of, opened

pytestmark = pytest.mark.anyio

PUBLIC_PAGES = {
    *("/", "/worker.js", "/app.webmanifest", "/app/{release}/{name}", "/sdk/{name}"),
    *("/docs", "/docs/errors", "/docs/docs.css", "/docs/icon.svg", "/openapi.json", "/asyncapi.json"),
    *("/phones", "/phones/{name}", "/metrics"),
    "/v1/socket",
}
"""Paths that are no part of the API's document; none of them may need a session."""
IDS: dict[str, Callable[[], str]] = {
    "chat_id": lambda: f"cht_{secrets.randbits(63):016x}",
    "session_id": lambda: f"ses_{secrets.randbits(63):016x}",
    "user_id": lambda: f"usr_{secrets.randbits(63):016x}",
}
PLAIN = {"seq": "1", "phone": "+447700900123", "emoji": "👍", "id": "usr_13198a2e03707344"}
"""Parts of a path that name nobody's property by themselves."""
FRAMES: dict[str, Frame] = {
    "Send": {"op": "send", "chat_id": "{chat_id}", "text": "Let me in", "client_id": "{fresh}"},
    "Ack": {"op": "ack", "seq": 2_000_000_000},
    "Read": {"op": "read", "chat_id": "{chat_id}", "seq": 1},
    "Typing": {"op": "typing", "chat_id": "{chat_id}", "active": True},
    "Watch": {"op": "watch", "user_ids": ["{user_id}"]},
    "Ping": {"op": "ping"},
}
"""A sample of each frame that a client may say, but for `hello`."""
PAIRS, SLOWER = 60, (0.2, 0.8)


class Operation(NamedTuple):
    """A documented operation: its method, path, and the body of its example."""

    method: str
    path: str
    body: Any

    @property
    def ids(self) -> list[str]:
        """The names of the parts of its path that say whose thing it is about."""
        return [name for name in re.findall(r"\{(\w+)\}", self.path) if name in IDS]

    def at(self, ids: Mapping[str, str]) -> str:
        """Its path with these ids."""
        return self.path.format(**(PLAIN | dict(ids)))


def operations(*, public: bool) -> list[Operation]:
    """Routes that need a session, or need none, by `openapi.json`."""
    found = []
    for path, methods in json.loads((DOCS / "openapi.json").read_text())["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            body = content.get("application/json", {}).get("example")
            if (operation.get("security") == []) is public:
                found.append(Operation(method.upper(), path, body))
    return found


GUARDED = operations(public=False)
OWNED = [operation for operation in GUARDED if operation.ids]


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authorization")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[DuologueServer]:
    with DuologueServer(folder, "--rate-limits", "off") as running:
        yield running


@pytest.fixture
async def api(server: DuologueServer) -> AsyncIterator[Api]:
    async with api_of(server.url) as api:
        yield api


@pytest.fixture
async def useless(api: Api, folder: Path) -> dict[str, str]:
    """Tokens that open nothing, by the reason."""
    revoked, deleted, expired = await api.device(), await api.device(), await api.device()
    await revoked.call("DELETE", "/v1/sessions/current")
    await deleted.call("DELETE", "/v1/me")
    with sqlite3.connect(folder / "duologue.db", timeout=30) as database:
        database.execute(
            "UPDATE sessions SET last_seen_at = ? WHERE token_hash = ?",
            (now_ms() - 91 * DAY, hash_token(expired.token)),
        )
    # A node trusts a look-up for one second.
    while (await expired.ask("GET", "/v1/me")).status_code == 200:
        await asyncio.sleep(0.05)
    return {
        "malformed": "dlg_",
        "of another kind": "dlk_" + secrets.token_urlsafe(32),
        "never given out": "dlg_" + secrets.token_urlsafe(32),
        "revoked": revoked.token,
        "of a deleted user": deleted.token,
        "expired": expired.token,
    }


class Suspended(NamedTuple):
    """A suspended user: a token that was good, and ids of what is the user's own."""

    token: str
    ids: dict[str, str]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="module")
def kept() -> list[Suspended]:
    """The one suspended user of this module, once there is one."""
    return []


@pytest.fixture
async def suspended(api: Api, folder: Path, kept: list[Suspended]) -> Suspended:
    if not kept:
        ana, _, chat_id = await api.friends()
        await ana.post(chat_id, "Between us")
        await anyio.to_thread.run_sync(users.suspend, f"sqlite:///{folder}/duologue.db", ana.phone)
        while (await ana.ask("GET", "/v1/me")).status_code == 200:
            await asyncio.sleep(0.05)
        kept.append(
            Suspended(ana.token, {"chat_id": chat_id, "session_id": ana.session_id, "user_id": ana.user_id})
        )
    return kept[0]


def answer_of(response: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """All of an answer that could tell somebody something."""
    headers = {name: value for name, value in response.headers.items() if name != "date"}
    return response.status_code, response.content, headers


def test_every_handler_is_documented_or_a_public_page(tmp_path: Path) -> None:
    documented = {(operation.method, operation.path) for operation in (*GUARDED, *operations(public=True))}
    app = Node(Settings(data_dir=str(tmp_path), sign_in="open")).asgi()
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        path = re.sub(r":\w+\}", "}", route.path_format)
        for method, handler in route.route_handler_map.items():
            if handler[0].resolve_include_in_schema():
                assert (method, path) in documented
            elif method != "OPTIONS":
                assert path in PUBLIC_PAGES, f"{path} is neither documented nor a known public page"
                assert handler[0].opt.get("public"), f"{path} needs a session, so it must be documented"
    assert {name for operation in GUARDED for name in re.findall(r"\{(\w+)\}", operation.path)} <= {
        *IDS,
        *PLAIN,
    }


@pytest.mark.parametrize("operation", GUARDED, ids=name_of)
async def test_no_useless_token_opens_a_route_and_none_looks_different(
    operation: Operation, api: Api, useless: dict[str, str]
) -> None:
    path = operation.at({name: IDS[name]() for name in operation.ids})

    async def ask(headers: dict[str, str]) -> httpx.Response:
        return await api.http.request(operation.method, path, json=operation.body, headers=headers)

    bare = [await ask({}), await ask({"Authorization": ""}), await ask({"Authorization": "Basic YTpi"})]
    assert {answer.status_code for answer in bare} == {401}
    assert len({answer.content for answer in bare}) == 1
    answers = {
        reason: answer_of(await ask({"Authorization": f"Bearer {token}"}))
        for reason, token in useless.items()
    }
    status, _, headers = answers["never given out"]
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    for reason, answer in answers.items():
        assert answer == answers["never given out"], reason


@pytest.mark.parametrize("operation", GUARDED, ids=name_of)
async def test_a_suspended_user_is_refused_by_every_route_whatever_it_is_about(
    operation: Operation, api: Api, suspended: Suspended
) -> None:
    async def ask(ids: Mapping[str, str]) -> tuple[int, bytes, dict[str, str]]:
        path = operation.at({name: ids[name] for name in operation.ids})
        answer = await api.http.request(
            operation.method, path, json=operation.body, headers=suspended.headers
        )
        return answer_of(answer)

    own = await ask(suspended.ids)
    assert own[0] == 403
    assert json.loads(own[1])["code"] == "suspended"
    assert await ask({name: make() for name, make in IDS.items()}) == own
    assert await ask(dict.fromkeys(IDS, "x")) == own


@pytest.mark.parametrize("operation", OWNED, ids=name_of)
async def test_what_is_anothers_looks_as_if_it_never_was(operation: Operation, api: Api) -> None:
    owner, peer, chat_id = await api.friends()
    await owner.post(chat_id, "Between us")
    stranger = await api.device()
    ids = {"chat_id": chat_id, "session_id": owner.session_id, "user_id": owner.user_id}
    assert (await owner.ask("GET", f"/v1/chats/{chat_id}/messages")).json()["items"], (
        "the owner's own things are there"
    )
    before = await everything(owner), await everything(peer)

    async def ask(**given: str) -> tuple[int, bytes, dict[str, str]]:
        path = operation.at({name: given[name] for name in operation.ids})
        return answer_of(await stranger.ask(operation.method, path, operation.body))

    anothers = await ask(**ids)
    assert anothers[0] == 404
    assert await ask(**{name: make() for name, make in IDS.items()}) == anothers
    assert await ask(**dict.fromkeys(IDS, "x")) == anothers
    assert (await everything(owner), await everything(peer)) == before


async def everything(device: Device) -> tuple[Any, ...]:
    """All that a stranger could have changed for somebody."""
    chats = await device.call("GET", "/v1/chats")
    return chats, await device.log(), await device.call("GET", "/v1/me")


@pytest.mark.parametrize("operation", OWNED, ids=name_of)
async def test_the_time_of_an_answer_does_not_tell_anothers_id_from_one_that_never_was(
    operation: Operation, api: Api
) -> None:
    owner, _, chat_id = await api.friends()
    stranger = await api.device()
    ids = {"chat_id": chat_id, "session_id": owner.session_id, "user_id": owner.user_id}
    await expect_no_difference(api, operation, ids, stranger.authorization)


@pytest.mark.parametrize("operation", OWNED, ids=name_of)
async def test_the_time_of_an_answer_tells_a_suspended_user_nothing(
    operation: Operation, api: Api, suspended: Suspended
) -> None:
    await expect_no_difference(api, operation, suspended.ids, suspended.headers)


async def expect_no_difference(
    api: Api, operation: Operation, ids: Mapping[str, str], headers: Mapping[str, str]
) -> None:
    """Compare the times of answers about these ids with those about ids that never were."""

    async def seconds(given: Mapping[str, str]) -> float:
        path = operation.at({name: given[name] for name in operation.ids})
        begun = time.perf_counter()
        await api.http.request(operation.method, path, json=operation.body, headers=headers)
        return time.perf_counter() - begun

    shares = []
    for _ in range(3):  # of two equal ones, chance alone leaves these bounds once in 10,000 tries
        slower = []
        for _ in range(PAIRS):
            never = {name: make() for name, make in IDS.items()}
            slower.append(await seconds(ids) > await seconds(never))
        shares.append(statistics.fmean(slower))
        if SLOWER[0] < shares[-1] < SLOWER[1]:
            return
    pytest.fail(f"the answer for an id that is there was the slower one in {shares} of the pairs")


def test_every_frame_of_the_document_has_a_sample() -> None:
    said = json.loads((DOCS / "asyncapi.json").read_text())["operations"]["say"]["messages"]
    assert {message["$ref"].rpartition("/")[2] for message in said} == {"Hello", *FRAMES}


def sample(name: str, ids: Mapping[str, str]) -> Frame:
    """A frame with these ids in their places."""
    fresh = {"fresh": secrets.token_hex(8), **ids}

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(item) for item in value]
        return value.format(**fresh) if isinstance(value, str) else value

    return {key: filled(value) for key, value in FRAMES[name].items()}


@pytest.mark.parametrize("name", FRAMES)
async def test_no_frame_is_heard_before_hello(name: str, api: Api) -> None:
    device = await api.device()
    async with device.knocking(**device.authorization) as socket:
        await socket.say_raw(sample(name, {key: make() for key, make in IDS.items()}))
        assert (await socket.closing())[0] == 4000
        assert socket.ops() == []


@pytest.mark.parametrize("name", FRAMES)
async def test_no_frame_of_a_suspended_user_is_heard(name: str, api: Api, suspended: Suspended) -> None:
    async with opened(api.url, **suspended.headers) as socket:
        await socket.say("hello", after=0)
        await socket.say_raw(sample(name, suspended.ids))
        assert await socket.closing() == (4013, "suspended")
        assert [frame.get("code") for frame in socket.heard] == ["suspended"]


async def test_no_useless_token_opens_a_socket_and_none_looks_different(
    api: Api, useless: dict[str, str]
) -> None:
    heard = {}
    for reason, token in useless.items():
        async with (await api.device()).knocking() as socket:
            await socket.say("hello", token=token)
            end = await socket.closing()
            heard[reason] = (socket.heard, end)
    assert heard["never given out"][1][0] == 4001
    for reason, answer in heard.items():
        assert answer == heard["never given out"], reason


@pytest.mark.parametrize("name", [name for name in FRAMES if "_id" in str(FRAMES[name])])
async def test_a_frame_about_anothers_id_is_answered_as_for_one_that_never_was(name: str, api: Api) -> None:
    owner, peer, chat_id = await api.friends()
    await owner.post(chat_id, "Between us")
    before = await everything(owner), await everything(peer)
    stranger = await api.device()
    answers = []
    async with stranger.online() as socket:
        ids = {"chat_id": chat_id, "user_id": owner.user_id, "session_id": owner.session_id}
        for given in (ids, {key: make() for key, make in IDS.items()}, dict.fromkeys(IDS, "x")):
            looked = len(await socket.settled())
            await socket.say_raw(sample(name, given))
            said = (await socket.settled())[looked:]
            answers.append(
                [{key: value for key, value in frame.items() if key != "client_id"} for frame in said]
            )
    assert answers[0] == answers[1] == answers[2]
    assert all(frame["op"] == "error" for frame in answers[0])
    assert (await everything(owner), await everything(peer)) == before
