"""The socket's own document: complete, and true."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest

from duologue.apidocs.asyncapi import document
from duologue.errors import CODES
from duologue.protocol import events, frames

FRAMES = (*get_args(frames.AnyClientFrame), *get_args(frames.AnyServerFrame))


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def test_every_reference_leads_somewhere() -> None:
    made = json.loads(json.dumps(document()))
    for reference in references(made):
        place = made
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


@pytest.mark.parametrize("kind", FRAMES)
def test_every_frame_is_a_message_with_its_schema(kind: Any) -> None:
    made = document()
    message = made["components"]["messages"][kind.__name__]
    assert message["name"] == kind.__struct_config__.tag
    assert message["summary"]
    schema = made["components"]["schemas"][kind.__name__]
    for each in [made["components"]["schemas"][name] for name in members(schema)] or [schema]:
        assert each["properties"]["op"] == {"type": "string", "enum": [kind.__struct_config__.tag]}
        assert "op" in each["required"]


def members(schema: Any) -> list[str]:
    """The names of the schemas of which a value fits one."""
    return [member["$ref"].rpartition("/")[2] for member in schema.get("oneOf", [])]


def test_the_type_of_an_event_tells_its_data() -> None:
    schemas = document()["components"]["schemas"]
    assert schemas["Event"]["discriminator"] == "type"
    for kind in get_args(events.Event):
        schema = schemas[kind.__name__]
        assert schema["properties"]["type"] == {"type": "string", "enum": [kind.__struct_config__.tag]}
        assert {"seq", "at", "data", "type"} <= set(schema["required"])
    assert set(members(schemas["Event"])) == {kind.__name__ for kind in get_args(events.Event)}


def test_every_close_and_error_code_stands_in_it() -> None:
    made = document()
    assert {int(code) for code in made["x-close-codes"]} == set(frames.CLOSE_CODES)
    assert set(made["x-error-codes"]) == set(CODES)


@pytest.mark.parametrize("kind", get_args(frames.AnyClientFrame))
def test_the_examples_are_frames_that_the_server_takes(kind: Any) -> None:
    (example,) = document()["components"]["messages"][kind.__name__]["examples"]
    encoded = json.dumps(example["payload"]).encode()
    assert type(msgspec.json.decode(encoded, type=frames.AnyClientFrame)) is kind
