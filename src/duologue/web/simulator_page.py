"""The handsets of the phone simulator as a page. There only while the simulator is the SMS provider."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from litestar import MediaType, Response, get
from litestar.datastructures import ResponseHeader, State
from litestar.params import FromPath

from duologue.errors import ApiError
from duologue.http.rates import PUBLIC
from duologue.web.browser_files import BROWSER_FILES

_TYPES: Final = {".css": "text/css", ".js": "text/javascript"}
_FOLDER: Final = BROWSER_FILES / "webapp" / "phones"
_PAGE: Final = (_FOLDER / "index.html").read_bytes()
_ASSETS: Final = {path.name: path.read_bytes() for path in _FOLDER.iterdir() if path.suffix in _TYPES}
_HEADERS: Final = [
    ResponseHeader(
        name="Content-Security-Policy",
        value="default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    ),
    ResponseHeader(name="Referrer-Policy", value="no-referrer"),
]


@get("/phones", opt=PUBLIC, include_in_schema=False, media_type=MediaType.HTML, response_headers=_HEADERS)
async def phones_page(state: State) -> bytes:
    """The page."""
    if state.simulator is None:
        raise _nothing_here()
    return _PAGE


@get("/phones/{name:str}", opt=PUBLIC, include_in_schema=False, response_headers=_HEADERS)
async def phones_asset(name: FromPath[str], state: State) -> Response[bytes]:
    """Its style and its modules."""
    if state.simulator is None or name not in _ASSETS:
        raise _nothing_here()
    return Response(_ASSETS[name], media_type=_TYPES[Path(name).suffix])


def _nothing_here() -> ApiError:
    return ApiError("not_found", "There is nothing at this path.")


HANDLERS: list[Any] = [phones_page, phones_asset]
