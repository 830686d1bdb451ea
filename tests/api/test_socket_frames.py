"""Frames of a client, and the answers to those that mean nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import MSGPACK, Api, Socket, api_of

pytestmark = pytest.mark.anyio

BURST, PER_SECOND = 1_000, 200


async def test_ping_is_answered_with_its_ref(api: Api, protocol: str) -> None:
    ana = await api.device()
    async with ana.online(protocol=protocol) as socket:
        await socket.say("ping", ref="été 1")
        assert await socket.hear("pong") == {"op": "pong", "ref": "été 1"}
        await socket.say("ping")
        assert await socket.hear("pong") == {"op": "pong"}


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "hello",
        '{"op":"ping"',
        '{"op":"ping"}{"op":"ping"}',
        '{"op":"send","text":5,"oops',
        '{"op":"ack","seq":1,"deep":' + "[" * 20_000 + "]" * 20_000 + "}",
        '{"op":"ping","ref":"\\ud800"}',
        b'{"op":"ping"}',
    ],
    ids=["empty", "word", "cut", "two", "wrong then cut", "deep", "half a surrogate", "binary"],
)
async def test_what_cannot_be_decoded_closes_with_4000(api: Api, payload: str | bytes) -> None:
    ana = await api.device()
    async with ana.online() as socket:
        await socket.connection.send(payload)
        assert (await socket.closing())[0] == 4000


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x81\xa2op",
        b"\x81\xa2op\xa1\xff",
        b"\x81\xa2op\xa1x\x00",
        b"\x91" * 20_000,
        '{"op":"ping"}',
    ],
    ids=["empty", "unused byte", "cut", "not UTF-8", "two", "deep", "text"],
)
async def test_what_cannot_be_decoded_as_msgpack_closes_with_4000(api: Api, payload: str | bytes) -> None:
    ana = await api.device()
    async with ana.online(protocol=MSGPACK) as socket:
        await socket.connection.send(payload)
        assert (await socket.closing())[0] == 4000


INVALID: list[tuple[Any, str]] = [
    ({"op": "shout"}, "op"),
    ({"op": 1}, "op"),
    ({}, "op"),
    ([], "body"),
    ({"op": "send", "to": "+33612345678", "text": "a", "client_id": "c", "txet": "b"}, "txet"),
    ({"op": "send", "to": "+33612345678", "client_id": "c"}, "text"),
    ({"op": "send", "to": "+33612345678", "text": "a"}, "client_id"),
    ({"op": "send", "to": "+33612345678", "text": "", "client_id": "c"}, "text"),
    ({"op": "send", "to": "+33612345678", "text": "a\x00b", "client_id": "c"}, "text"),
    ({"op": "send", "to": "+33612345678", "text": "x" * 4097, "client_id": "c"}, "text"),
    ({"op": "send", "to": "+33612345678", "text": "a", "client_id": "c" * 65}, "client_id"),
    ({"op": "send", "to": "+33612345678", "text": "a", "client_id": "tab\t"}, "client_id"),
    ({"op": "send", "to": 33612345678, "text": "a", "client_id": "c"}, "to"),
    ({"op": "send", "chat_id": "cht_0", "text": "a", "client_id": "c", "reply_to": 0}, "reply_to"),
    ({"op": "send", "text": "a", "client_id": "c"}, "chat_id"),
    ({"op": "send", "chat_id": "c", "to": "+33612345678", "text": "a", "client_id": "c"}, "chat_id"),
    ({"op": "ack"}, "seq"),
    ({"op": "ack", "seq": "5"}, "seq"),
    ({"op": "ack", "seq": -1}, "seq"),
    ({"op": "ack", "seq": 2**31}, "seq"),
    ({"op": "ack", "seq": 10**40}, "seq"),
    ({"op": "read", "chat_id": "cht_0", "seq": 0}, "seq"),
    ({"op": "read", "seq": 1}, "chat_id"),
    ({"op": "typing", "chat_id": "cht_0", "active": 1}, "active"),
    ({"op": "watch", "user_ids": "usr_0"}, "user_ids"),
    ({"op": "watch", "user_ids": ["u"] * 201}, "user_ids"),
    ({"op": "ping", "ref": "r" * 65}, "ref"),
    ({"op": "ping", "ref": 5}, "ref"),
]


@pytest.mark.parametrize(("frame", "field"), INVALID)
async def test_a_frame_that_is_not_valid_is_an_error_that_names_the_field(
    api: Api, frame: Any, field: str
) -> None:
    ana = await api.device()
    async with ana.online() as socket:
        await socket.say_raw(frame)
        assert (await socket.error("invalid"))["errors"].keys() == {field}
        assert await socket.settled() == [], "the connection goes on"


async def test_a_frame_that_is_not_valid_is_an_error_in_msgpack_too(api: Api) -> None:
    ana = await api.device()
    async with ana.online(protocol=MSGPACK) as socket:
        for frame, field in INVALID:
            if "10000000" not in repr(frame):  # MessagePack has no such number
                await socket.say_raw(frame)
                assert (await socket.error("invalid"))["errors"].keys() == {field}, frame
        assert await socket.settled() == []


NO_MAPS: list[Any] = [[], ["ping"], [{"op": "ping"}], 5, 1.5, "ping", None, True]


async def test_a_value_that_is_no_map_is_an_error_and_closes_nothing(api: Api, protocol: str) -> None:
    ana = await api.device()
    async with ana.knocking(protocol, **ana.authorization) as socket:
        for value in NO_MAPS:
            await socket.say_raw(value)
            assert (await socket.error("invalid"))["detail"] == "A frame is a map with `op`.", value
        await socket.hello()
        await socket.hear("caught_up")
        for value in NO_MAPS:
            await socket.say_raw(value)
            assert (await socket.error("invalid"))["errors"].keys() == {"body"}, value
        assert await socket.settled() == []


@pytest.mark.parametrize("value", [b"\xc4\x01a", b"\xd6\xff\x00\x00\x00\x00", b"\xc7\x00\x05"])
async def test_binary_strings_times_and_extensions_of_msgpack_are_no_maps(api: Api, value: bytes) -> None:
    ana = await api.device()
    async with ana.knocking(MSGPACK, **ana.authorization) as socket:
        await socket.connection.send(value)
        await socket.error("invalid")
        await socket.hello()


async def test_an_error_repeats_ref_and_client_id(api: Api, protocol: str) -> None:
    """Return whether the frame was no good as such, or could not be done."""
    ana = await api.device()
    async with ana.online(protocol=protocol) as socket:
        named = {"client_id": "my id", "ref": "my ref"}
        await socket.say("send", to="+33612345678", text=5, **named)
        assert named.items() <= (await socket.error("invalid")).items()
        await socket.say("send", to="12345", text="hi", **named)
        assert named.items() <= (await socket.error("invalid_phone")).items()
        await socket.say("ack", seq=9_999, ref="other")
        error = await socket.error("seq_out_of_range")
        assert error["ref"] == "other"
        assert "client_id" not in error


async def test_an_error_without_a_ref_has_none(api: Api, protocol: str) -> None:
    ana = await api.device()
    async with ana.online(protocol=protocol) as socket:
        await socket.say("ack", seq=9_999)
        error = await socket.error("seq_out_of_range")
        assert error.keys() == {"op", "code", "detail", "errors"}


async def test_a_frame_over_the_limit_closes_with_1009(api: Api, protocol: str) -> None:
    ana = await api.device()
    limit = (await ana.call("GET", "/v1/server"))["limits"]["socket_frame_bytes"]
    async with ana.online(protocol=protocol) as socket:
        await socket.say("ping", ref="r" * (limit - 100))
        await socket.error("invalid")
        await socket.say("ping", ref="r" * (limit + 100))
        assert (await socket.closing())[0] == 1009


async def test_fragments_over_the_limit_close_with_1009(api: Api) -> None:
    ana = await api.device()
    limit = (await ana.call("GET", "/v1/server"))["limits"]["socket_frame_bytes"]
    async with ana.online() as socket:
        await socket.connection.send("x" * 1_000 for _ in range(limit // 1_000 + 1))
        assert (await socket.closing())[0] == 1009


async def test_a_frame_may_come_in_fragments(api: Api) -> None:
    ana = await api.device()
    async with ana.online() as socket:
        await socket.connection.send(['{"op":"pi', 'ng","ref":', '"whole"}'])
        await socket.hear("pong", ref="whole")


async def test_frames_over_the_rate_are_refused_by_name_and_the_rest_goes_on(api: Api, protocol: str) -> None:
    ana, _, chat_id = await api.friends()
    limits = (await ana.call("GET", "/v1/server"))["limits"]
    assert (limits["socket_frame_burst"], limits["socket_frames_per_second"]) == (BURST, PER_SECOND)
    async with ana.online(protocol=protocol) as socket:
        for number in range(2 * BURST):
            await socket.say("ping", ref=str(number))
        await socket.say("send", chat_id=chat_id, text="too much", client_id="c", ref="last")
        answers = {frame["ref"]: frame for frame in [await socket.next() for _ in range(2 * BURST + 1)]}
        accepted = [frame for frame in answers.values() if frame["op"] in {"pong", "sent"}]
        refused = [frame for frame in answers.values() if frame["op"] == "error"]
        assert len(answers) == 2 * BURST + 1, "each frame is answered once"
        assert len(accepted) >= BURST - 10
        assert len(refused) > BURST / 2
        assert {frame["code"] for frame in refused} == {"rate_limited"}
        assert all(0 < frame["retry_after"] <= 1 for frame in refused)
        if answers["last"]["op"] == "error":
            assert answers["last"]["client_id"] == "c"
        await asyncio.sleep(max(frame["retry_after"] for frame in refused) + 0.1)
        assert (await socket.send("enough", chat_id=chat_id))["message"]["text"] == "enough"


async def test_a_frame_that_is_not_valid_counts_as_well(api: Api) -> None:
    ana = await api.device()
    async with ana.online() as socket:
        for number in range(BURST + 500):
            await socket.say("shout", ref=str(number))
        codes = [(await socket.hear("error"))["code"] for _ in range(BURST + 500)]
        assert codes.count("invalid") >= BURST - 10
        assert codes.count("rate_limited") > 200


async def test_a_flood_is_read_no_faster_than_the_limit_allows(api: Api) -> None:
    """A client that sends too much is slowed down; the work for it and its refusals are bounded."""
    ana = await api.device()
    seconds = 3.0
    async with ana.online() as socket:
        flooding = asyncio.create_task(ping_for_ever(socket))
        answers = []
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    answers.append((await socket.next())["op"])
        flooding.cancel()
        socket.connection.transport.abort()
    assert BURST <= answers.count("pong") <= BURST + PER_SECOND * (seconds + 1)
    assert answers.count("error") <= 500 * (seconds + 1)


async def ping_for_ever(socket: Socket) -> None:
    while True:
        await socket.connection.send('{"op":"ping"}')
        await asyncio.sleep(0)


async def test_limits_can_be_lifted_for_benchmarks(tmp_path_factory: pytest.TempPathFactory) -> None:
    with DuologueServer(tmp_path_factory.mktemp("free"), "--rate-limits", "off") as server:
        async with api_of(server.url) as api:
            ana = await api.device()
            async with ana.online() as socket:
                for _ in range(3 * BURST):
                    await socket.say("ping")
                for _ in range(3 * BURST):
                    assert (await socket.next())["op"] == "pong"


async def test_what_the_client_says_after_a_close_is_not_done(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as socket:
        await socket.connection.send("this is no frame")
        for number in range(5):
            await socket.connection.send(
                msgspec.json.encode(
                    {"op": "send", "chat_id": chat_id, "text": "late", "client_id": str(number)}
                ).decode()
            )
        assert (await socket.closing())[0] == 4000
    assert (await ben.chat(chat_id))["last_seq"] == 0
