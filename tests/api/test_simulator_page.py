"""The page of the phone simulator: what is served, what is in it, and when it isn't there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from duologue.web.browser_files import BROWSER_FILES
from duologue_lab.servers.server import DuologueServer

STATIC = BROWSER_FILES / "webapp" / "phones"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
REAL_PROVIDER = "gateway+https://127.0.0.1:9/?preset=httpsms"
ASSETS = sorted(path.name for path in STATIC.iterdir() if path.suffix != ".html")


class Page(HTMLParser):
    """The tags of a page, with their attributes, and the text in its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in {"script", "style"}:
            self.inline += data.strip()


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server with simulated phones."""
    with (
        DuologueServer(tmp_path_factory.mktemp("phones"), "--sign-in", "sms") as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        yield client


def test_the_page_is_served_under_a_strict_policy(http: httpx.Client) -> None:
    answer = http.get("/phones")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_is_served_as_what_it_is(http: httpx.Client, name: str) -> None:
    answer = http.get(f"/phones/{name}")
    kind = {".css": "text/css", ".js": "text/javascript"}[Path(name).suffix]
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.content == (STATIC / name).read_bytes()


def test_all_that_the_page_refers_to_is_there(http: httpx.Client) -> None:
    tags = Page(http.get("/phones").text).tags
    links = {value for _, given in tags for name, value in given.items() if name in {"href", "src"}}
    modules = {
        f"/phones/{name}"
        for path in STATIC.glob("*.js")
        for name in re.findall(r'from "\./([^"]+)"', path.read_text())
    }
    assert {"/phones/phones.css", "/phones/phones.js"} <= links
    assert modules == {f"/phones/{name}" for name in ASSETS if name.endswith(".js")} - {"/phones/phones.js"}
    for link in links | modules:
        assert link is not None
        assert link.startswith("/"), f"{link} is elsewhere"
        assert http.get(link).status_code == 200, link


def test_nothing_is_inline() -> None:
    page = Page((STATIC / "index.html").read_text())
    assert page.inline == ""
    assert [
        given for tag, given in page.tags if "style" in given or any(name.startswith("on") for name in given)
    ] == []


def test_no_module_makes_markup_or_code_of_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|srcdoc|https?:"
    )
    found = [(path.name, forbidden.findall(path.read_text())) for path in STATIC.glob("*.*s")]
    assert [hits for hits in found if hits[1]] == []


@pytest.mark.parametrize(
    "path", ["/phones/", "/phones/index.html", "/phones/..%2fdocs.css", "/phones/nothing.js"]
)
def test_there_is_nothing_else_below_it(http: httpx.Client, path: str) -> None:
    unknown = http.get("/nothing-here")
    answer = http.get(path)
    assert (answer.status_code, answer.content) == (404, unknown.content)


def test_it_can_only_be_read(http: httpx.Client) -> None:
    answer = http.post("/phones")
    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"
    assert "GET" in answer.headers["allow"]


def test_open_sign_in_has_it_too(tmp_path: Path) -> None:
    with DuologueServer(tmp_path) as server:
        assert httpx.get(f"{server.url}/phones", trust_env=False).status_code == 200


def test_with_a_real_provider_the_paths_are_like_any_unknown_one(tmp_path: Path) -> None:
    with (
        DuologueServer(tmp_path, "--sign-in", "sms", "--sms-url", REAL_PROVIDER) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        unknown = client.get("/nothing-here")
        assert unknown.headers["content-type"] == "application/problem+json"
        for path in ("/phones", *(f"/phones/{name}" for name in ASSETS)):
            answer = client.get(path)
            assert (answer.status_code, answer.content) == (404, unknown.content)
            assert answer.headers["content-type"] == unknown.headers["content-type"]
