"""The documents as the server hands them out: `/openapi.json`, and the same to read at `/docs`.

The pages are plain HTML: no script, nothing from elsewhere. They are made once, when first asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shlex
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Litestar, MediaType, Request, Response, get
from litestar.datastructures import ResponseHeader

from duologue import __version__
from duologue.apidocs.html import Json, anchor, code, field, fields, inline, json_code, kind_of, markdown
from duologue.apidocs.openapi import document
from duologue.edge.problems import MEDIA_TYPE, problem
from duologue.errors import CODES
from duologue.http.rates import PUBLIC
from duologue.http.route_docs import example

_FOLDER: Final = Path(__file__).parent
_STYLE: Final = (_FOLDER / "docs.css").read_bytes()
_ICON: Final = (_FOLDER / "icon.svg").read_bytes()
_STYLE_URL: Final = f"/docs/docs.css?{hashlib.blake2b(_STYLE, digest_size=6).hexdigest()}"
_HEADERS: Final = [
    ResponseHeader(
        name="Content-Security-Policy",
        value="default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'",
    ),
    ResponseHeader(name="Referrer-Policy", value="no-referrer"),
    ResponseHeader(name="Cache-Control", value="no-cache"),
]
_FOR_A_YEAR: Final = [ResponseHeader(name="Cache-Control", value="public, max-age=31536000, immutable")]
_WIDTH: Final = 44  # characters of JSON that fit in one line of an example
_BODY: Final = "application/json"


class Documents(msgspec.Struct, frozen=True):
    """Documents that are served, ready to send."""

    openapi: bytes
    index: str
    errors: str


def make_documents(app: Litestar) -> Documents:
    """The documents of an application. Raises as `document`."""
    made = document(app)
    return Documents(msgspec.json.encode(made), _index(made), _errors(made))


async def _documents(app: Litestar) -> Documents:
    made: Documents | None = app.state.get("documents")
    if made is None:
        # A tenth of a second, which nobody else should have to wait for.
        made = app.state["documents"] = await asyncio.to_thread(make_documents, app)
    return made


@get("/openapi.json", opt=PUBLIC, include_in_schema=False, media_type="application/json")
async def openapi_json(request: Request[Any, Any, Any]) -> bytes:
    """The OpenAPI document."""
    return (await _documents(request.app)).openapi


@get("/docs", opt=PUBLIC, include_in_schema=False, media_type=MediaType.HTML, response_headers=_HEADERS)
async def docs_index(request: Request[Any, Any, Any]) -> str:
    """The same to read."""
    return (await _documents(request.app)).index


@get(
    "/docs/errors", opt=PUBLIC, include_in_schema=False, media_type=MediaType.HTML, response_headers=_HEADERS
)
async def docs_errors(request: Request[Any, Any, Any]) -> str:
    """Every error code: where a problem's `type` leads."""
    return (await _documents(request.app)).errors


@get("/docs/docs.css", opt=PUBLIC, include_in_schema=False, response_headers=_FOR_A_YEAR)
async def docs_style() -> Response[bytes]:
    """Serve the style sheet of the pages."""
    return Response(_STYLE, media_type="text/css")


@get("/docs/icon.svg", opt=PUBLIC, include_in_schema=False, response_headers=_FOR_A_YEAR)
async def docs_icon() -> Response[bytes]:
    """Two people talking."""
    return Response(_ICON, media_type="image/svg+xml")


def _operations(made: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _layout(title: str, here: str, contents: str, main: str) -> str:
    links = "".join(
        f'<a href="{url}"{" aria-current=page" if url == here else ""}>{name}</a>'
        for url, name in (("/docs", "API"), ("/docs/errors", "Errors"), ("/openapi.json", "OpenAPI"))
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="/docs/icon.svg">
<link rel="stylesheet" href="{_STYLE_URL}">
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="top">
<a class="brand" href="/docs"><img src="/docs/icon.svg" alt="" width="24" height="24">Duologue</a>
<span class="version">{__version__}</span>
<nav aria-label="Documents">{links}</nav>
</header>
<div class="page">
<nav class="side" aria-label="Contents">{contents}</nav>
<main id="main" tabindex="-1">{main}</main>
</div>
</body>
</html>
"""


def _index(made: Json) -> str:
    groups = [
        (tag, [item for item in _operations(made) if tag["name"] in item[2]["tags"]]) for tag in made["tags"]
    ]
    objects = {
        name: schema for name, schema in made["components"]["schemas"].items() if not _is_request(schema)
    }
    contents = (
        "<ul><li><a href=#main>Introduction</a></li>"
        + "".join(_group_contents(tag["name"], items) for tag, items in groups)
        + '<li><a href="#objects">Objects</a><ul>'
        + "".join(f'<li><a href="#{name}">{name}</a></li>' for name in objects)
        + "</ul></li></ul>"
    )
    main = (
        f'<div class="prose"><h1>{made["info"]["title"]} API</h1>{markdown(made["info"]["description"])}</div>'
        + "".join(_group(tag, items, made) for tag, items in groups)
        + '<section class="group"><h2 id="objects">Objects</h2><p>What answers are made of.</p></section>'
        + "".join(_object(name, schema) for name, schema in objects.items())
    )
    return _layout("Duologue API", "/docs", contents, main)


def _is_request(schema: Json) -> bool:
    return schema.get("additionalProperties") is False


def _group_contents(name: str, items: list[tuple[str, str, Json]]) -> str:
    links = "".join(
        f'<li><a href="#{operation["operationId"]}">{_method(method)}<span>{_breakable(path)}</span></a></li>'
        for path, method, operation in items
    )
    return f'<li><a href="#{anchor(name)}">{name}</a><ul>{links}</ul></li>'


def _breakable(path: str) -> str:
    return escape(path).replace("/", "<wbr>/")


def _method(method: str) -> str:
    return f'<b class="method {method.lower()}">{method}</b>'


def _group(tag: Json, items: list[tuple[str, str, Json]], made: Json) -> str:
    head = f'<h2 id="{anchor(tag["name"])}">{tag["name"]}</h2><p>{inline(tag["description"])}</p>'
    return f'<section class="group">{head}</section>' + "".join(_operation(*item, made) for item in items)


def _operation(path: str, method: str, operation: Json, made: Json) -> str:
    name = operation["operationId"]
    text = (
        f'<h3 id="{name}"><a href="#{name}">{inline(operation["summary"])}</a></h3>'
        f'<p class="route">{_method(method)}<code>{escape(path)}</code>'
        f"{'<span class=open>no sign-in</span>' if operation.get('security') == [] else ''}</p>"
    )
    if "description" in operation:
        text += f"<p>{inline(operation['description'])}</p>"
    parameters = operation.get("parameters", [])
    if parameters:
        text += "<h4>Parameters</h4><dl>" + "".join(map(_parameter, parameters)) + "</dl>"
    body = operation.get("requestBody", {}).get("content", {}).get(_BODY)
    if body:
        schema = made["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
        text += f"<h4>Body</h4><p>{inline(schema['description'])}</p>{fields(schema, request=True)}"
    samples = code(_curl(path, method, operation, made), "Request")
    answers = [(status, _resolved(answer, made)) for status, answer in operation["responses"].items()]
    text += _answers(answers)
    samples += "".join(_samples(answers))
    return f'<section class="operation"><div class="text">{text}</div><div class="samples">{samples}</div></section>'


def _samples(answers: list[tuple[str, Json]]) -> Iterator[str]:
    shown: Any = None
    for status, answer in reversed(answers):
        for media_type, content in answer.get("content", {}).items():
            if media_type != MEDIA_TYPE and content.get("example") != shown:
                shown = content["example"]
                label = f"Answer {status}"
                yield json_code(shown, label) if media_type == _BODY else code(_lines(shown), label)


def _lines(event: Json) -> str:
    return "\n".join(f"{name}: {value}" for name, value in event.items())


def _parameter(parameter: Json) -> str:
    return field(
        parameter["name"],
        parameter["schema"],
        required=parameter["required"],
        description=parameter["description"],
        place=parameter["in"],
    )


def _resolved(answer: Json, made: Json) -> Json:
    if "$ref" not in answer:
        return answer
    found: Json = made["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return found


def _answers(answers: list[tuple[str, Json]]) -> str:
    rows, failures = [], []
    for status, answer in answers:
        content = answer.get("content", {})
        if MEDIA_TYPE in content:
            failures += [_failure(status, name) for name in content[MEDIA_TYPE]["examples"]]
        else:
            kinds = " ".join(
                f'<span class="kind">{kind_of(about["schema"])}</span>' for about in content.values()
            )
            text = f"{kinds} {inline(answer['description'])}"
            rows.append(f"<dt>{_status(status)}</dt><dd>{text}</dd>")
    return (
        f'<h4>Answers</h4><dl class="answers">{"".join(rows)}</dl>'
        f'<h4>Errors</h4><ul class="failures">{"".join(failures)}</ul>'
    )


def _failure(status: str, name: str) -> str:
    return f'<li><a href="/docs/errors#{name}">{_status(status)}{name}</a></li>'


def _status(status: str) -> str:
    return f'<span class="status s{status[0]}">{status}</span>'


def _curl(path: str, method: str, operation: Json, made: Json) -> str:
    """A command that may be copied; `$SERVER` and `$TOKEN` are as in the introduction."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["schema"]["examples"][0]))
    body = operation.get("requestBody", {}).get("content", {}).get(_BODY)
    lines = [f"curl {'' if method == 'GET' or (method == 'POST' and body) else f'-X {method} '}$SERVER{path}"]
    if operation.get("security", made["security"]):
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if body:
        lines.append("-H 'Content-Type: application/json'")
    if body and "example" in body:
        text = json.dumps(body["example"], ensure_ascii=False)
        if len(text) > _WIDTH:
            text = json.dumps(body["example"], ensure_ascii=False, indent=2)
        lines.append(f"-d {shlex.quote(text)}")
    return " \\\n  ".join(lines)


def _object(name: str, schema: Json) -> str:
    return (
        f'<section class="operation"><div class="text"><h3 id="{name}"><a href="#{name}">{name}</a></h3>'
        f"<p>{inline(schema.get('description', ''))}</p>{fields(schema, request=False)}</div></section>"
    )


def _errors(made: Json) -> str:
    met: dict[str, list[Json]] = {}
    for _, _, operation in _operations(made):
        for answer in operation["responses"].values():
            for name in _resolved(answer, made).get("content", {}).get(MEDIA_TYPE, {}).get("examples", ()):
                met.setdefault(name, []).append(operation)
    links = "".join(
        f'<li><a href="#{name}">{_status(str(int(spec.status)))}{name}</a></li>'
        for name, spec in CODES.items()
    )
    main = (
        '<div class="prose"><h1>Errors</h1><p>Every failure is an <code>application/problem+json</code> document'
        " (RFC 9457). Programs go by its <code>code</code>, one of this closed list; <code>detail</code> is for"
        " people, and <code>errors</code> names each field that was refused. <code>type</code> leads to this page."
        "</p></div>" + "".join(_error(name, met.get(name, [])) for name in CODES)
    )
    return _layout("Errors · Duologue API", "/docs/errors", f"<ul>{links}</ul>", main)


def _error(name: str, operations: list[Json]) -> str:
    spec = CODES[name]
    names = [operation["operationId"] for operation in operations]
    links = ", ".join(f'<a href="/docs#{one}">{one}</a>' for one in names)
    return (
        f'<section class="operation"><div class="text"><h3 id="{name}"><a href="#{name}"><code>{name}</code></a></h3>'
        f'<p class="route">{_status(str(int(spec.status)))}{inline(spec.title)}</p>'
        f"<p>{inline(spec.advice)}</p>{f'<p class=met>Answered by {links}.</p>' if links else ''}</div>"
        f'<div class="samples">{json_code(problem(example(name)))}</div></section>'
    )


HANDLERS: list[Any] = [openapi_json, docs_index, docs_errors, docs_style, docs_icon]
