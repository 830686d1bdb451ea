"""Pages of other origins: those that the operator names may use the API, others not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api

pytestmark = pytest.mark.anyio

FRIEND, STRANGER = "https://app.example", "https://elsewhere.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    with DuologueServer(tmp_path_factory.mktemp("server"), "--allowed-origins", FRIEND) as server:
        yield server


async def test_a_page_of_an_allowed_origin_may_call_the_api(api: Api) -> None:
    ana = await api.device()
    asks = {"Origin": FRIEND, "Access-Control-Request-Method": "PATCH"}
    asks["Access-Control-Request-Headers"] = "authorization, content-type, idempotency-key"
    before = await api.http.request("OPTIONS", "/v1/me", headers=asks)
    assert before.is_success
    assert before.headers["access-control-allow-origin"] == FRIEND
    assert "PATCH" in before.headers["access-control-allow-methods"]
    answer = await api.http.get("/v1/me", headers={"Origin": FRIEND, **ana.authorization})
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers


async def test_its_page_can_read_why_something_was_refused(api: Api) -> None:
    answer = await api.http.get("/v1/me", headers={"Origin": FRIEND})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == FRIEND


async def test_a_page_of_any_other_origin_may_not(api: Api) -> None:
    asks = {"Origin": STRANGER, "Access-Control-Request-Method": "GET"}
    for answer in (
        await api.http.request("OPTIONS", "/v1/me", headers=asks),
        await api.http.get("/v1/server", headers={"Origin": STRANGER}),
    ):
        assert answer.headers.get("access-control-allow-origin") not in (STRANGER, "*")


async def test_a_cookie_is_neither_set_nor_believed(api: Api) -> None:
    ana = await api.device()
    for path in ("/", "/v1/server", "/v1/me", "/nowhere"):
        answer = await api.http.get(path, headers=ana.authorization)
        assert "set-cookie" not in answer.headers
    for name in ("Authorization", "token", "session"):
        cookie = {"Cookie": f"{name}=Bearer {ana.token}; {name}={ana.token}"}
        assert (await api.http.get("/v1/me", headers=cookie)).status_code == 401
