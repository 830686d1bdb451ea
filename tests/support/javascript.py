"""Functions of JavaScript files, with their lengths, and comments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tree_sitter_javascript
from tree_sitter import Language, Node, Parser

ROOT = Path(__file__).parents[2]
FOLDERS = ("clients/javascript", "clients/javascript/test", "webapp/client", "webapp/phones", "webapp/test")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.js"))
"""All JavaScript that people wrote for this project, but for the scripts of `tests/clients`."""

_PARSER = Parser(Language(tree_sitter_javascript.language()))
_FUNCTIONS = frozenset(
    {
        "arrow_function",
        "class_static_block",
        "function_declaration",
        "function_expression",
        "generator_function",
        "generator_function_declaration",
        "method_definition",
    }
)


def functions(source: bytes) -> Iterator[tuple[int, int]]:
    """Yield each function's first line and its length in lines. Raises `SyntaxError` for what is no JavaScript."""
    tree = _PARSER.parse(source)
    if tree.root_node.has_error:
        raise SyntaxError("This is no JavaScript.")
    for node in _nodes(tree.root_node):
        if node.type in _FUNCTIONS:
            first, last = node.start_point[0], node.end_point[0]
            yield first + 1, last - first + 1


def comments(source: bytes) -> Iterator[str]:
    """Yield the text of each comment."""
    for node in _nodes(_PARSER.parse(source).root_node):
        if node.type == "comment":
            yield (node.text or b"").decode()


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)
