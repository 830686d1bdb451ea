"""HTML for the readable documents: prose, code, and JSON Schemas as lists of fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token

Json = dict[str, Any]

_TOKENS: Final = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null|-?\d+(?:\.\d+)?)\b')
_BOUNDS: Final = (
    ("minLength", "maxLength", " characters"),
    ("minimum", "maximum", ""),
    ("minItems", "maxItems", " items"),
)


def inline(text: str) -> str:
    """One line of Markdown: `code` and [links](/path). HTML in it is text."""
    rendered: str = _MARKDOWN.renderInline(text)
    return rendered


def markdown(text: str) -> str:
    """Blocks of Markdown (CommonMark). Headings of the second level get anchors; HTML in it is text."""
    tokens = _MARKDOWN.parse(text)
    for heading, title in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", anchor(title.content))
    rendered: str = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    return rendered


def _fence(_renderer: RendererProtocol, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    """Render fenced code as `code` does."""
    return code(tokens[index].content.strip("\n"))


def anchor(title: str) -> str:
    """The fragment that leads to a heading."""
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def code(text: str, label: str = "") -> str:
    """A block of code, which the keyboard can scroll."""
    head = f'<div class="label">{inline(label)}</div>' if label else ""
    return f'<div class="code">{head}<pre tabindex="0"><code>{escape(text, quote=False)}</code></pre></div>'


def json_code(value: Any, label: str = "") -> str:
    """A block of JSON with its parts told apart."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    head = f'<div class="label">{inline(label)}</div>' if label else ""
    parts = _TOKENS.sub(_token, escape(text, quote=False))
    return f'<div class="code">{head}<pre tabindex="0"><code>{parts}</code></pre></div>'


def _token(match: re.Match[str]) -> str:
    text, colon, word = match.groups()
    if text is None:
        return f'<span class="w">{word}</span>'
    return f'<span class="{"k" if colon else "s"}">{text}</span>{colon or ""}'


def kind_of(schema: Json) -> str:
    """Describe a value's type in words; types that have a description of their own become links to it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(kind_of(member) for member in schema["anyOf"])
    if schema.get("type") == "array":
        items = schema.get("items")
        return f"list of {kind_of(items)}" if items else "list"
    if schema.get("type") == "object":
        return f"object of {kind_of(schema['additionalProperties'])}s"
    return " ".join(filter(None, (str(schema.get("type", "anything")), _format(schema))))


def _format(schema: Json) -> str:
    return f"({schema['format']})" if "format" in schema else ""


def _bounds(schema: Json) -> Iterator[str]:
    for member in schema.get("anyOf", ()):
        yield from _bounds(member)
    for lowest, highest, unit in _BOUNDS:
        low, high = schema.get(lowest), schema.get(highest)
        if low is not None and high is not None:
            yield f"{low} to {high}{unit}"
        elif low is not None or high is not None:
            yield f"at {'least' if high is None else 'most'} {low if high is None else high}{unit}"
    if "default" in schema and schema["default"] not in (None, ""):
        yield f"default {json.dumps(schema['default'])}"


def field(name: str, schema: Json, *, required: bool | None, description: str = "", place: str = "") -> str:
    """One field or parameter, as a term and its description."""
    notes = [f'<span class="kind">{kind_of(schema)}</span>']
    if place:
        notes.append(f'<span class="place">{place}</span>')
    if required is not None:
        notes.append(
            f'<span class="{"must" if required else "may"}">{"required" if required else "optional"}</span>'
        )
    notes += [f'<span class="bound">{bound}</span>' for bound in _bounds(schema)]
    text = description or described(schema)
    body = f"<dd>{inline(text)}</dd>" if text else "<dd></dd>"
    return f"<dt><code>{escape(name)}</code> {' '.join(notes)}</dt>{body}"


def described(schema: Json) -> str:
    """Return a value's description: its own, or that of one of its alternatives."""
    texts = [str(schema.get("description", "")), *(described(member) for member in schema.get("anyOf", ()))]
    return next(filter(None, texts), "")


def fields(schema: Json, *, request: bool) -> str:
    """The fields of an object. Of an answer all are there unless said otherwise; of a request it is said of each."""
    required = schema.get("required", ())
    items = [
        field(name, about, required=name in required if request or name not in required else None)
        for name, about in schema.get("properties", {}).items()
    ]
    return f"<dl>{''.join(items)}</dl>"


_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False})
_MARKDOWN.add_render_rule("fence", _fence)
