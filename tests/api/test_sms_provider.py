"""Signing in where a real provider carries the codes: money, failures, secrecy."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import api_of, new_phone
from tests.support.sign_in import SmsApi, apart, bearer, code_in, elsewhere, problem
from tests.support.sms_http import Answer, HttpProvider

pytestmark = pytest.mark.anyio

PASSWORD = "gateway-pass"
SPEC = """
method = "GET"
url = "{base}?to={digits}&text={text}&password={password}"
basic_auth = false
accepted = "^OK"
bad_number = "^BAD"
"""
FRANCE, MONACO = 0.06, 3


class Outside:
    """The gateway, and the server that sends over it."""

    def __init__(self, folder: Path) -> None:
        self.answer = Answer(200, "OK")
        self.gateway = HttpProvider(lambda _: self.answer)
        (folder / "gateway.toml").write_text(SPEC)
        url = f"gateway+http://user:{PASSWORD}@{self.gateway.address}/send?spec={folder}/gateway.toml"
        prices = f"FR={FRANCE},MC={MONACO},*=1"
        options = ["--sign-in", "sms", "--trusted-proxies", "127.0.0.1", "--log-level", "debug"]
        options += ["--sms-url", url, "--sms-prices", prices, "--sms-daily-budget", "5.6"]
        self.server = DuologueServer(folder / "data", *options)

    def codes(self) -> list[str]:
        return [code_in(heard.path) for heard in self.gateway.heard]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    outside = Outside(tmp_path_factory.mktemp("outside"))
    try:
        with outside.server:
            yield outside
    finally:
        outside.gateway.close()


@pytest.fixture
async def api(outside: Outside) -> AsyncIterator[SmsApi]:
    outside.answer = Answer(200, "OK")
    async with api_of(outside.server.url) as client:
        yield SmsApi(client.http)


async def test_a_code_comes_over_the_gateway(outside: Outside, api: SmsApi) -> None:
    started = await api.start(new_phone(), elsewhere(1))
    answer = await api.redeem(started["id"], outside.codes()[-1], elsewhere(1))
    assert answer.status_code == 201
    assert (await api.http.get("/v1/me", headers=bearer(answer.json()))).is_success


@pytest.mark.parametrize(
    "answer",
    [Answer(200, "BAD number"), Answer(429), Answer(502), Answer(401)],
    ids=["number", "busy", "broken", "account"],
)
async def test_a_failure_of_the_gateway_is_told_and_lifts_the_wait(
    outside: Outside, api: SmsApi, answer: Answer
) -> None:
    phone = new_phone()
    outside.answer = answer
    refused = await api.ask(phone, elsewhere(2))
    assert problem(refused) == (503, "sms_unavailable")
    assert int(refused.headers["retry-after"]) == 5
    outside.answer = Answer(200, "OK")
    started = await api.start(phone, elsewhere(2))
    assert (await api.redeem(started["id"], outside.codes()[-1], elsewhere(2))).status_code == 201


async def test_the_phone_simulator_is_not_there(api: SmsApi) -> None:
    phone = new_phone()
    answers = [
        await api.http.get("/v1/sim/phones"),
        await api.http.get(f"/v1/sim/phones/{phone}/messages"),
        await api.http.post(f"/v1/sim/phones/{phone}/messages", json={"to": "+12025550100", "text": "hi"}),
        await api.http.put(f"/v1/sim/phones/{phone}", json={"reachable": False}),
        await api.http.post("/v1/sms/simulator/status", content=b"{}"),
        await api.http.get("/phones"),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)


async def test_a_proxy_that_was_not_declared_frees_nobody_from_limits(api: SmsApi) -> None:
    asked = [await api.ask(apart(number)) for number in range(21)]
    assert [answer.status_code for answer in asked] == [202] * 20 + [429]


async def test_codes_stop_when_the_days_money_is_spent(api: SmsApi) -> None:
    assert "duologue_sms_budget_exhausted 0.0" in (await api.http.get("/metrics")).text
    assert (await api.ask("+37793150000", elsewhere(3))).status_code == 202
    refused = await api.ask("+37793150001", elsewhere(4))
    assert problem(refused) == (503, "sms_budget_spent")
    assert 80_000 < int(refused.headers["retry-after"]) <= 86_400
    assert "duologue_sms_budget_exhausted 1.0" in (await api.http.get("/metrics")).text


async def test_neither_codes_nor_numbers_nor_passwords_are_logged(outside: Outside, api: SmsApi) -> None:
    phone = new_phone()
    outside.answer = Answer(502, "")
    await api.ask(phone, elsewhere(5))
    outside.answer = Answer(200, "OK")
    started = await api.start(phone, elsewhere(5))
    assert (await api.redeem(started["id"], "nonsense", elsewhere(5))).status_code == 401
    token = (await api.redeem(started["id"], outside.codes()[-1], elsewhere(5))).json()["token"]
    log = outside.server.log
    assert "could not be sent" in log
    for secret in (*outside.codes(), phone[1:], PASSWORD, token):
        assert not re.search(rf"(?<![\w.]){secret}(?!\w)", log)
