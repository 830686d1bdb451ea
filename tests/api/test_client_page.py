"""Tests of how the web client and the SDK are served, and of the rules for their sources."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from duologue import __version__
from duologue.web import client
from duologue.web.browser_files import BROWSER_FILES
from duologue_lab.servers.server import DuologueServer
from tests.api.test_simulator_page import Page
from tools import countries

CLIENT = BROWSER_FILES / "webapp" / "client"
SDK = BROWSER_FILES / "clients" / "javascript"
SOURCES = sorted(path for folder in (CLIENT, SDK) for path in folder.iterdir() if path.is_file())
MODULES = [path for path in SOURCES if path.suffix == ".js"]
BASE = f"/app/{client.RELEASE}"
WRITTEN = [path for path in SOURCES if path.suffix != ".png" and path.name != "wire.d.ts"]
"""Texts that people wrote: the other types are made from the OpenAPI document."""
LONGEST_FILE = 400
LONGEST_LINE = 120


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        DuologueServer(tmp_path_factory.mktemp("client")) as server,
        httpx.Client(base_url=server.url, trust_env=False) as asking,
    ):
        yield asking


def test_the_page_is_served_under_a_strict_policy(http: httpx.Client) -> None:
    answer = http.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(one.split(" ", 1) for one in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_all_that_the_page_needs_is_there_and_kept_for_ever(http: httpx.Client) -> None:
    tags = Page(http.get("/").text).tags
    links = {value for _, given in tags for name, value in given.items() if name in {"href", "src"} and value}
    parts = {link for link in links if link.startswith("/app/")}
    modules = {f"{BASE}/{path.relative_to(BROWSER_FILES)}" for path in MODULES if path.name != "worker.js"}
    assert modules <= parts
    for link in links:
        answer = http.get(link)
        assert answer.status_code == 200, link
        if link in parts:
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    manifest = http.get("/app.webmanifest").json()
    assert all(http.get(icon["src"]).status_code == 200 for icon in manifest["icons"])


def test_parts_of_another_release_are_not_there(http: httpx.Client) -> None:
    unknown = http.get("/nothing-here")
    for path in (
        "/app/0123456789ab/webapp/client/main.js",
        f"{BASE}/webapp/client/nothing.js",
        f"{BASE}/webapp/client/..%2findex.html",
        f"{BASE}/webapp/phones/phones.js",
        "/sdk/nothing.js",
        "/sdk",
        "/app",
    ):
        answer = http.get(path)
        assert (answer.status_code, answer.content) == (404, unknown.content), path


@pytest.mark.parametrize("path", ["/", "/worker.js", "/sdk/duologue.js", f"{BASE}/webapp/client/main.js"])
def test_what_one_has_already_is_not_sent_again(http: httpx.Client, path: str) -> None:
    first = http.get(path, headers={"Accept-Encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["vary"] == "Accept-Encoding"
    plain = http.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == first.content
    assert plain.headers["etag"] != first.headers["etag"]
    for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = http.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]


def test_the_service_worker_names_the_release_and_all_its_parts(http: httpx.Client) -> None:
    answer = http.get("/worker.js")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert f'const RELEASE = "{client.RELEASE}";' in answer.text
    listed = re.search(r"^const PARTS = (.*);$", answer.text, re.MULTILINE)
    assert listed
    parts = json.loads(listed[1])
    tags = Page(http.get("/").text).tags
    needed = {given.get("href") or given.get("src") for tag, given in tags if tag in {"link", "script"}}
    assert {link for link in needed if link and link.endswith((".js", ".css"))} == set(parts)


@pytest.mark.parametrize("path", [path for path in SOURCES if path.parent == SDK], ids=lambda path: path.name)
def test_the_sdk_is_served_as_it_is_to_pages_of_any_origin(http: httpx.Client, path: Path) -> None:
    answer = http.get(f"/sdk/{path.name}")
    assert answer.content == path.read_bytes()
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-cache"


def test_the_sdk_is_ready_to_publish() -> None:
    package = json.loads((SDK / "package.json").read_text())
    assert package["version"] == __version__
    assert "dependencies" not in package
    for target in (package["main"], package["types"], *package["exports"]["."].values()):
        assert (SDK / target).exists()


def test_every_public_method_has_a_type() -> None:
    source = (SDK / "duologue.js").read_text()
    body = source[source.index("export class Duologue") :]
    public = set(re.findall(r"^  (?:async |get )?([a-z]\w*)\(", body, re.MULTILINE)) - {"constructor"}
    public |= set(re.findall(r"^  ([a-z]\w*)(?: = .*)?;$", body, re.MULTILINE))
    declared = (SDK / "duologue.d.ts").read_text()
    typed = declared[declared.index("export declare class Duologue ") :]
    assert {
        name for name in public if not re.search(rf"^  (?:readonly )?{name}[<(:]", typed, re.MULTILINE)
    } == set()
    exported = re.findall(r"^export \{ (.*) \};$", source, re.MULTILINE)[0].split(", ")
    assert [name for name in exported if not re.search(rf"export declare \w+ {name}\b", declared)] == []


def test_the_sdk_reaches_for_nothing_outside_of_its_folder() -> None:
    for path in MODULES:
        imports = re.findall(r'(?:from|import) "([^"]+)"', path.read_text())
        allowed = ("./", "../../clients/javascript/duologue.js") if path.name == "sdk.js" else ("./",)
        assert [name for name in imports if not name.startswith(allowed)] == [], path.name


def test_nothing_is_inline() -> None:
    page = Page((CLIENT / "index.html").read_text())
    assert page.inline == ""
    assert [
        given for _, given in page.tags if "style" in given or any(name.startswith("on") for name in given)
    ] == []


def test_no_module_makes_markup_or_code_of_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|srcdoc|setHTML|DOMParser"
    )
    found = [(path.name, forbidden.findall(path.read_text())) for path in MODULES]
    assert [hits for hits in found if hits[1]] == []


def test_without_comments_each_line_of_a_module_stays_where_it_is(http: httpx.Client) -> None:
    for path in MODULES:
        if path.name == "worker.js":
            continue
        served = http.get(f"{BASE}/{path.relative_to(BROWSER_FILES)}").text.split("\n")
        written = path.read_text().split("\n")
        assert len(served) == len(written), path.name
        changed = [line.strip() for line, now in zip(written, served, strict=True) if line != now]
        assert [line for line in changed if not line.startswith(("//", "/*", "*"))] == [], path.name


def test_every_file_is_short_enough_to_read() -> None:
    texts = {path.name: path.read_text().splitlines() for path in WRITTEN}
    assert {name: len(lines) for name, lines in texts.items() if len(lines) > LONGEST_FILE} == {}
    code = {name: lines for name, lines in texts.items() if name.endswith((".js", ".ts", ".html"))}
    wide = [f"{name}: {line}" for name, lines in code.items() for line in lines if len(line) > LONGEST_LINE]
    assert wide == []


def test_nothing_is_left_to_do_later() -> None:
    notes = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [path.name for path in WRITTEN if notes.search(path.read_text())] == []


def test_the_countries_are_those_of_the_server() -> None:
    assert countries.FILE.read_text() == countries.source(), "python -m tools.countries writes it anew"


def texts() -> dict[str, dict[str, str]]:
    """Texts of the client, by language."""
    source = (CLIENT / "strings.js").read_text()
    found = {}
    for language in ("en", "fr"):
        _, _, body = source.partition(f"const {language} = {{\n")
        _, *parts = re.split(r"^  (\w+):", body[: body.index("\n};")], flags=re.MULTILINE)
        found[language] = dict(zip(parts[::2], parts[1::2], strict=True))
    return found


def test_every_word_is_there_in_every_language() -> None:
    english, french = texts()["en"], texts()["fr"]
    assert english.keys() == french.keys()
    assert list(english) == sorted(english)
    for key, text in english.items():
        values = set(re.findall(r"\{(\w+)\}", text))
        assert set(re.findall(r"\{(\w+)\}", french[key])) == values, key


def test_every_word_is_said_somewhere() -> None:
    code = "\n".join(path.read_text() for path in MODULES if path.name != "strings.js")
    made = ("hop_", "status_", "hint_")
    unsaid = [key for key in texts()["en"] if f'"{key}"' not in code and not key.startswith(made)]
    assert unsaid == []


def test_every_file_that_is_served_is_compressed_if_that_helps(http: httpx.Client) -> None:
    with httpx.stream(
        "GET", f"{http.base_url}/sdk/duologue.js", headers={"Accept-Encoding": "gzip"}, trust_env=False
    ) as answer:
        packed = b"".join(answer.iter_raw())
    assert gzip.decompress(packed) == (SDK / "duologue.js").read_bytes()
    assert len(packed) < len(gzip.decompress(packed)) / 2
    icon = http.get(f"{BASE}/webapp/client/icon-192.png")
    assert icon.headers["content-type"] == "image/png"
    assert "content-encoding" not in icon.headers
