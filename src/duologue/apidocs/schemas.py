"""JSON Schemas of the wire's types, in a form that code generators of other languages take.

msgspec says what its decoders accept (JSON Schema 2020-12). Here its output becomes portable: string enums have a
`type`, unions of structs are `oneOf` with a name, and patterns need no feature that RE2 or ECMA-262 lacks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, get_args

import msgspec

from duologue.protocol import events

Json = dict[str, Any]

REF: Final = "#/components/schemas/{name}"
_UNIONS: Final = {"Event": ("Something that changed for me, told apart by `type`.", get_args(events.Event))}
"""Unions that have a name in the documents: what it stands for, and its members."""
_NOT_THE_END: Final = r"(?!\n)"
"""Python's `$` also matches before a final newline. Elsewhere `$` is the very end, so this is left out."""


def schemas_of(kinds: Sequence[Any]) -> tuple[list[Json], Json]:
    """Return the schema of each type, and the named schemas that they refer to."""
    found, components = msgspec.json.schema_components(kinds, ref_template=REF)
    named: Json = {}
    for name, component in components.items():
        named[_public_name(name)] = _portable(component, named)
    return [_portable(schema, named) for schema in found], named


def portable(schema: Json) -> Json:
    """Return a schema of plain values in its portable form."""
    plain: Json = _portable(schema, {})
    return plain


def _public_name(name: str) -> str:
    """Return a name without brackets: `Page[Chat]` is `ChatPage`."""
    return re.sub(r"\bPage[\[_](\w+?)[\]_]$", r"\1Page", name)


def _portable(node: Any, named: Json) -> Any:
    """Return a schema in its portable form; a union that has a name is added to `named` and referred to."""
    if isinstance(node, list):
        return [_portable(item, named) for item in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _portable(value, named) for key, value in node.items()}
    for key in ("$ref", "title"):
        if isinstance(schema.get(key), str):
            schema[key] = _public_name(schema[key])
    if isinstance(schema.get("pattern"), str):
        schema["pattern"] = schema["pattern"].removesuffix(_NOT_THE_END)
    if isinstance(schema.get("enum"), list) and all(isinstance(value, str) for value in schema["enum"]):
        schema = {"type": "string"} | schema
    if "discriminator" in schema:
        return _union(schema, named)
    return schema


def _union(schema: Json, named: Json) -> Json:
    """Return a union of structs as `oneOf`: each value has the one tag that decides."""
    union = {"oneOf" if key == "anyOf" else key: value for key, value in schema.items()}
    members = {member["$ref"] for member in union["oneOf"]}
    for name, (meaning, kinds) in _UNIONS.items():
        if members == {REF.format(name=kind.__name__) for kind in kinds}:
            named[name] = {"title": name, "description": meaning, **union}
            return {"$ref": REF.format(name=name)}
    return union
