"""The OpenAPI 3.1 document, made from the route table and from the very types that decode and encode.

msgspec itself says what its decoders accept (JSON Schema 2020-12), so the document can't promise anything else.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Any, Final, get_args, get_origin

import msgspec
from litestar import Litestar, Response
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import ParameterKwarg
from litestar.routes import HTTPRoute
from litestar.typing import FieldDefinition

from duologue import __version__
from duologue.apidocs.examples import EXAMPLES
from duologue.apidocs.schemas import REF, portable, schemas_of
from duologue.edge.problems import MEDIA_TYPE
from duologue.http.rates import policies
from duologue.http.route_docs import INTRODUCTION, TAGS

_CONSTRAINTS: Final = {
    "minimum": "ge",
    "maximum": "le",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
}
_RESERVED: Final = ("data", "request", "state", "scope", "headers", "query", "cookies", "socket", "body")
_RETRY_AFTER: Final = {
    "Retry-After": {
        "description": "Seconds to wait.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
_RATE_LIMIT: Final = {
    name: {"description": meaning, "schema": {"type": "string", "examples": [shown]}}
    for name, meaning, shown in (
        (
            "RateLimit-Policy",
            "The limit: its name, how many (`q`) in how many seconds (`w`).",
            '"codes";q=5;w=3600',
        ),
        (
            "RateLimit",
            "How it stands: what remains (`r`), and in how many seconds there is more (`t`).",
            '"codes";r=0;t=60',
        ),
    )
}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string", "const": "Bearer"}}},
    429: _RETRY_AFTER | _RATE_LIMIT,
    503: _RETRY_AFTER,
}

Json = dict[str, Any]


def document(app: Litestar) -> Json:
    """The document of all public routes. Raises `LookupError` or `TypeError` for what can't be documented."""
    schemas: Json = {}
    responses: Json = {}
    paths: Json = {}
    for path, method, handler in _handlers(app):
        operation = _operation(path, handler, schemas)
        operation["responses"] = _share(operation["responses"], responses)
        paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Duologue",
            "version": __version__,
            "summary": "A self-hosted server for private 1:1 text messaging between phone numbers",
            "description": INTRODUCTION,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that this document comes from"}],
        "security": [{"token": []}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": dict(sorted(responses.items())),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "dlg_…",
                    "description": "The `token` that `POST /v1/sessions` answered with.",
                }
            },
        },
    }


def _handlers(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Path, method and handler, in the order in which they are shown."""
    found = [
        (route.path_format, method, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
        if handler.resolve_include_in_schema()
    ]
    modules = list(dict.fromkeys(inspect.unwrap(handler.fn).__module__ for _, _, handler in found))
    found.sort(key=lambda item: _place(item[2], modules))
    yield from found


def _place(handler: HTTPRouteHandler, modules: Sequence[str]) -> tuple[int, int, int]:
    """By group, then by module as the application lists them, then as they are written."""
    source = inspect.unwrap(handler.fn)
    return list(TAGS).index(_tag(handler)), modules.index(source.__module__), source.__code__.co_firstlineno


def _tag(handler: HTTPRouteHandler) -> str:
    (tag,) = handler.resolve_tags()
    return tag


def _operation(path: str, handler: HTTPRouteHandler, schemas: Json) -> Json:
    summary, _, description = " ".join((inspect.getdoc(handler.fn) or "").split()).partition(". ")
    if not summary:
        raise LookupError(f"{handler.handler_name} has no docstring")
    operation: Json = {
        "tags": [_tag(handler)],
        "operationId": re.sub(r"_(\w)", lambda match: match[1].upper(), handler.handler_name),
        "summary": summary.removesuffix("."),
    }
    if description:
        operation["description"] = description
    if handler.opt.get("public"):
        operation["security"] = []
    operation["x-rate-limit"] = policies(handler)
    fields = handler.parsed_fn_signature.parameters
    parameters = [
        _parameter(name, field, path, schemas)
        for name, field in fields.items()
        if name not in _RESERVED and not field.is_di_field
    ]
    if parameters:
        operation["parameters"] = parameters
    if "data" in fields:
        content = _json(fields["data"].raw, schemas)
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    operation["responses"] = _responses(handler, schemas)
    return operation


def _parameter(name: str, field: FieldDefinition, path: str, schemas: Json) -> Json:
    kwarg = field.kwarg_definition
    declared = kwarg if isinstance(kwarg, ParameterKwarg) else ParameterKwarg()
    place = "path" if f"{{{name}}}" in path else declared.param_type.value
    schema = _schema(_not_none(field.raw), schemas)
    description = declared.description or schema.get("description")
    if description is None:
        raise LookupError(f"parameter {name} of {path} has no description")
    schema |= portable({keyword: getattr(declared, name) for keyword, name in _CONSTRAINTS.items()})
    schema = {keyword: value for keyword, value in schema.items() if value is not None}
    if field.has_default and field.default is not None:
        schema["default"] = field.default
    schema.pop("description", None)
    return {
        "name": declared.name or name,
        "in": place,
        "required": place == "path" or field.is_required,
        "description": description,
        "schema": schema,
    }


def _not_none(kind: Any) -> Any:
    """Schema of a parameter without null: an optional one is left out. Its constraints stay."""
    if hasattr(kind, "__metadata__"):
        inner = _not_none(kind.__origin__)
        return inner if inner is not kind.__origin__ else kind
    if get_origin(kind) is None or type(None) not in get_args(kind):
        return kind
    return reduce(or_, (member for member in get_args(kind) if member is not type(None)))


def _responses(handler: HTTPRouteHandler, schemas: Json) -> Json:
    specs = dict(handler.responses or {})
    success = int(handler.status_code)
    specs.setdefault(success, ResponseSpec(_returned(handler), description=""))
    return {
        str(status): _problem(status, spec, schemas)
        if spec.media_type == MEDIA_TYPE
        else _success(spec, handler, schemas)
        for status, spec in sorted(specs.items())
    }


def _returned(handler: HTTPRouteHandler) -> Any:
    kind = handler.parsed_fn_signature.return_type.raw
    return get_args(kind)[0] if get_origin(kind) is Response else kind


def _success(spec: ResponseSpec, handler: HTTPRouteHandler, schemas: Json) -> Json:
    kind = spec.data_container
    if kind is None or kind is type(None):
        return {"description": spec.description or "Done."}
    about = inspect.getdoc(get_origin(kind) or kind) or ""
    answer: Json = {"description": spec.description or about.splitlines()[0]}
    headers = {
        header.name: {"description": header.description, "schema": {"type": "string"}}
        for header in handler.response_headers or ()
    }
    if headers:
        answer["headers"] = headers
    media_type = spec.media_type.value if isinstance(spec.media_type, MediaType) else spec.media_type
    answer["content"] = {media_type: _json(kind, schemas)}
    return answer


def _problem(status: int, spec: ResponseSpec, schemas: Json) -> Json:
    examples = spec.examples or []
    _schema(spec.data_container, schemas)
    answer: Json = {"description": spec.description}
    if status in _HEADERS:
        answer["headers"] = _HEADERS[status]
    answer["content"] = {
        MEDIA_TYPE: {
            "schema": {"$ref": REF.format(name="Problem")},
            "examples": {
                example.id: {"summary": example.summary, "value": example.value} for example in examples
            },
        }
    }
    return answer


def _share(answers: Json, shared: Json) -> Json:
    """Move what many operations answer with, one code alone, among the components."""
    kept: Json = {}
    for status, answer in answers.items():
        examples = answer.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
        if len(examples) == 1:
            (code,) = examples
            shared[code] = answer
            kept[status] = {"$ref": f"#/components/responses/{code}"}
        else:
            kept[status] = answer
    return kept


def _json(kind: Any, schemas: Json) -> Json:
    """A media type object: schema and example."""
    content = {"schema": _schema(kind, schemas)}
    example = EXAMPLES.get(get_args(kind)[0] if hasattr(kind, "__metadata__") else kind)
    return content | {"example": msgspec.to_builtins(example)} if example is not None else content


def _schema(kind: Any, schemas: Json) -> Json:
    """The JSON Schema of a type; what it refers to is added to `schemas`."""
    (schema,), components = schemas_of([kind])
    schemas |= components
    return schema
