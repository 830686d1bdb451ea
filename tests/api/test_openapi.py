"""The OpenAPI document and its pages: valid, complete, and enough by themselves."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import jsonschema_rs
import pytest
from schemathesis.specs.openapi import definitions

from duologue.errors import CODES
from duologue_lab.servers.server import DuologueServer

PROBLEM = "application/problem+json"
PAGES = ["/docs", "/docs/errors"]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        DuologueServer(tmp_path_factory.mktemp("docs")) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def api(http: httpx.Client) -> Any:
    return http.get("/openapi.json").raise_for_status().json()


class Operation(NamedTuple):
    """One method of one path."""

    path: str
    method: str
    about: dict[str, Any]


def operations(api: Any) -> list[Operation]:
    return [
        Operation(path, method, about)
        for path, methods in api["paths"].items()
        for method, about in methods.items()
    ]


def answers(api: Any, operation: Operation) -> dict[str, Any]:
    """Its responses, each as it is wherever it stands."""
    shared = api["components"]["responses"]
    return {
        status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        for status, answer in operation.about["responses"].items()
    }


def contents(api: Any) -> Iterator[tuple[str, str, Any]]:
    """Every body: where it is, its media type, and its schema with its examples."""
    for operation in operations(api):
        body = operation.about.get("requestBody", {}).get("content", {})
        for media_type, content in body.items():
            yield f"{operation.method} {operation.path}", media_type, content
        for status, answer in answers(api, operation).items():
            for media_type, content in answer.get("content", {}).items():
                yield f"{operation.method} {operation.path} {status}", media_type, content


def test_the_document_is_openapi_3_1(api: Any) -> None:
    assert api["openapi"].startswith("3.1.")
    faults = [fault.message for fault in definitions.OPENAPI_31_VALIDATOR.iter_errors(api)]
    assert faults == []


def test_every_schema_is_json_schema(api: Any) -> None:
    for schema in api["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid(
            {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
        )


def test_every_body_has_an_example_that_fits_its_schema(api: Any) -> None:
    for where, _, content in contents(api):
        if where.endswith(" /v1/sms/{provider}/{kind} 200"):
            continue  # what answers Kannel is empty, what answers another provider is its own
        schema = {"components": api["components"], **content["schema"]}
        validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        examples = [content["example"]] if "example" in content else []
        examples += [shown["value"] for shown in content.get("examples", {}).values()]
        assert examples, f"{where} has no example"
        for example in examples:
            assert list(validator.iter_errors(example)) == [], where


def test_everything_has_a_description(api: Any) -> None:
    groups = {group["name"] for group in api["tags"]}
    for operation in operations(api):
        assert operation.about["summary"]
        assert set(operation.about["tags"]) <= groups
        assert all(parameter["description"] for parameter in operation.about.get("parameters", []))
        assert all(answer["description"] for answer in answers(api, operation).values())
    assert all(group["description"] for group in api["tags"])
    assert all(schema["description"] for schema in api["components"]["schemas"].values())


def test_operations_have_names_of_their_own(api: Any) -> None:
    names = Counter(operation.about["operationId"] for operation in operations(api))
    assert set(names.values()) == {1}
    assert all(re.fullmatch(r"[a-z][A-Za-z]*", name) for name in names)


def test_a_session_is_asked_for_exactly_where_the_document_says(api: Any, http: httpx.Client) -> None:
    for operation in operations(api):
        path = re.sub(r"{\w+}", "nothing", operation.path)
        open_to_all = operation.about.get("security") == []
        refused = http.request(operation.method, path).status_code == 401
        assert refused is not open_to_all, operation
        assert ("401" in answers(api, operation)) is refused or operation.path == "/v1/sessions"


def test_waiting_and_signing_in_are_told_by_headers(api: Any) -> None:
    told = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}
    for operation in operations(api):
        for status, answer in answers(api, operation).items():
            if status in told:
                assert told[status] in answer["headers"], f"{operation.path} {status}"


def test_a_repeat_is_told_from_a_first_time(api: Any) -> None:
    for path in ("/v1/messages", "/v1/chats/{chat_id}/messages"):
        responses = api["paths"][path]["post"]["responses"]
        assert responses["200"]["content"] == responses["201"]["content"]
        assert "Idempotent-Replayed" in responses["200"]["headers"]


def test_every_problem_has_an_example_for_each_of_its_codes(api: Any) -> None:
    for operation in operations(api):
        for status, answer in answers(api, operation).items():
            problems = answer.get("content", {}).get(PROBLEM, {}).get("examples", {})
            for code, example in problems.items():
                assert (example["value"]["code"], example["value"]["status"]) == (code, int(status))
                assert int(CODES[code].status) == int(status)


def schemas_in(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a document that says something about a value."""
    if isinstance(node, dict):
        if {"type", "enum", "items", "pattern", "$ref", "oneOf", "anyOf"} & node.keys():
            yield node
        for name, value in node.items():
            if name not in {"example", "examples", "value"}:
                yield from schemas_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas_in(value)


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
def test_schemas_need_nothing_that_code_generators_lack(http: httpx.Client, name: str) -> None:
    for schema in schemas_in(http.get(f"/{name}").json()):
        if isinstance(schema.get("$ref"), str):
            assert not {"anyOf", "oneOf", "properties", "required"} & schema.keys(), schema
        if isinstance(schema.get("enum"), list) and isinstance(schema["enum"][0], str):
            assert schema["type"] == "string", schema
        if schema.get("type") == "array":
            assert "items" in schema, schema
        if isinstance(schema.get("pattern"), str):
            assert "(?" not in schema["pattern"], schema
            assert "\\u" not in schema["pattern"], schema
        assert not ("anyOf" in schema and "discriminator" in schema), schema


def test_the_document_is_the_only_schema_there_is(http: httpx.Client) -> None:
    for path in ("/schema", "/schema/openapi.json", "/schema/swagger", "/openapi.yaml", "/docs/openapi.json"):
        assert http.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/v1/server", "/healthz", "/v1/me", "/nothing", "/openapi.json"])
def test_answers_are_neither_kept_nor_guessed_at(http: httpx.Client, path: str) -> None:
    headers = http.get(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in headers


class Page(HTMLParser):
    """Parts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, *names: str) -> list[str]:
        return [value for _, attributes in self.tags for name in names if (value := attributes.get(name))]


@pytest.fixture(scope="module")
def pages(http: httpx.Client) -> dict[str, Page]:
    return {path: Page(http.get(path).raise_for_status().text) for path in PAGES}


def test_pages_need_nothing_from_elsewhere_and_no_script(http: httpx.Client, pages: dict[str, Page]) -> None:
    for path, page in pages.items():
        assert "script" not in dict(page.tags)
        assert "style" not in dict(page.tags)
        assert not [
            name for _, attributes in page.tags for name in attributes if name.startswith(("on", "style"))
        ]
        assert [url for url in page.values("src", "href") if "//" in url] == []
        policy = http.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    style = http.get(next(url for url in pages["/docs"].values("href") if ".css" in url))
    assert style.headers["Content-Type"].startswith("text/css")
    assert "url(" not in style.text
    assert "@import" not in style.text
    assert "prefers-color-scheme: dark" in style.text


def test_every_link_leads_somewhere(http: httpx.Client, pages: dict[str, Page]) -> None:
    for path, page in pages.items():
        for link in page.values("href", "src"):
            place, _, fragment = link.partition("#")
            if fragment:
                assert fragment in pages[place or path].values("id"), f"{path}: {link}"
            else:
                assert http.get(place).status_code == 200, f"{path}: {link}"


def test_pages_work_by_keyboard_and_by_ear(pages: dict[str, Page]) -> None:
    for page in pages.values():
        names = Counter(tag for tag, _ in page.tags)
        assert names["h1"] == names["main"] == names["header"] == 1
        assert dict(page.tags)["html"]["lang"] == "en"
        assert max(Counter(page.values("id")).values()) == 1
        assert ("a", {"class": "skip", "href": "#main"}) in page.tags
        assert all(attributes.get("aria-label") for tag, attributes in page.tags if tag == "nav")
        assert all("tabindex" in attributes for tag, attributes in page.tags if tag == "pre")


def test_every_operation_and_every_error_has_its_place(api: Any, pages: dict[str, Page]) -> None:
    assert {operation.about["operationId"] for operation in operations(api)} <= set(
        pages["/docs"].values("id")
    )
    assert set(CODES) <= set(pages["/docs/errors"].values("id"))


def test_the_type_of_a_problem_leads_to_its_explanation(http: httpx.Client, pages: dict[str, Page]) -> None:
    place, _, fragment = http.get("/v1/me").json()["type"].partition("#")
    assert place == "/docs/errors"
    assert fragment in pages[place].values("id")


def test_the_committed_document_is_the_one_that_is_served(http: httpx.Client) -> None:
    committed = (Path(__file__).parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8")
    assert http.get("/openapi.json").json() == json.loads(committed)
