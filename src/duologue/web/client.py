"""The web client at `/`, its service worker, and the SDK for everybody at `/sdk/`.

All that the page loads has an address with a digest of the whole, `/app/<release>/…`: it can be kept for ever, and
parts of two releases never meet. The page itself and the service worker, which name the release, are asked for anew
each time. Everything is read and compressed once, when the server starts.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath

from duologue.errors import ApiError
from duologue.http.rates import PUBLIC
from duologue.web.browser_files import BROWSER_FILES

_CLIENT: Final = "webapp/client"
_SDK_FOLDER: Final = "clients/javascript"
# Litestar adds the charset of a text itself.
_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".md": "text/markdown",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ts": "text/plain",
    ".webmanifest": "application/manifest+json",
}
_COMPRESSED_ALREADY: Final = {".png"}
# Whole lines only, and a comment that begins a line must end one: what stands beside code stays.
_COMMENT: Final = re.compile(rb"^[ \t]*(?://.*|/\*\*(?:(?!\*/)[\s\S])*\*/[ \t]*)$", re.MULTILINE)
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self';"
    " manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types duologue"
)
_OF_DOCUMENTS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
}
_FOR_EVERYBODY: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_FRESH: Final = "no-cache"
_FOR_EVER: Final = "public, max-age=31536000, immutable"


class _File(msgspec.Struct, frozen=True):
    """A file, ready to send."""

    body: bytes
    packed: bytes | None
    media_type: str
    etag: str


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=9).hexdigest()


def _file(body: bytes, suffix: str) -> _File:
    packed = None if suffix in _COMPRESSED_ALREADY else gzip.compress(body, 9, mtime=0)
    return _File(body, packed, _TYPES[suffix], _digest(body))


def _read(folder: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted((BROWSER_FILES / folder).iterdir()):
        if path.suffix in _TYPES:
            yield f"{folder}/{path.name}", path.read_bytes()


_SOURCES: Final = dict(_read(_CLIENT)) | dict(_read(_SDK_FOLDER))
RELEASE: Final = _digest(b"\0".join(name.encode() + b"\0" + body for name, body in _SOURCES.items()))
"""What all of the client's files are together: it changes with any of them."""
_BASE: Final = f"/app/{RELEASE}/"
_NEEDED: Final = [
    name
    for name in _SOURCES
    if Path(name).suffix in {".css", ".js", ".svg"} and name != f"{_CLIENT}/worker.js"
]
"""What the page loads at once, and what the service worker keeps for when there is no network."""


def _bare(source: bytes) -> bytes:
    """A module without its comments: a third of what goes over the wire. Each line stays where it is."""
    return _COMMENT.sub(lambda found: b"\n" * found[0].count(b"\n"), source)


def _part(name: str, source: bytes) -> _File:
    suffix = Path(name).suffix
    return _file(_bare(source) if suffix == ".js" else source, suffix)


def _page() -> bytes:
    modules = "".join(
        f'<link rel="modulepreload" href="{_BASE}{name}">\n' for name in _NEEDED if name.endswith(".js")
    )
    page = _SOURCES[f"{_CLIENT}/index.html"].decode()
    return page.replace("<!-- modules -->\n", modules).replace("{base}", _BASE).encode()


def _worker() -> bytes:
    worker = _bare(_SOURCES[f"{_CLIENT}/worker.js"])
    parts = json.dumps([_BASE + name for name in _NEEDED])
    return worker.replace(b"{release}", RELEASE.encode()).replace(b'["{parts}"]', parts.encode())


_PAGE: Final = _file(_page(), ".html")
_WORKER: Final = _file(_worker(), ".js")
_PARTS: Final = {name: _part(name, source) for name, source in _SOURCES.items()}
_SDK: Final = {
    Path(name).name: _file(source, Path(name).suffix)
    for name, source in _SOURCES.items()
    if name.startswith(_SDK_FOLDER)
}
_MANIFEST: Final = _file(
    _SOURCES[f"{_CLIENT}/app.webmanifest"].replace(b"{base}", _BASE.encode()), ".webmanifest"
)


def _answer(
    request: Request[Any, Any, Any], file: _File, caching: str, more: Mapping[str, str] | None = None
) -> Response[bytes]:
    headers = {"Cache-Control": caching, "Vary": "Accept-Encoding", **(more or {})}
    wants = request.headers.get("accept-encoding", "")
    packed = file.packed if "gzip" in wants else None
    # The two encodings are two representations (RFC 9110, section 8.8.3).
    etag = f'"{file.etag}{"-gzip" if packed is not None else ""}"'
    headers["ETag"] = etag
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in known:
        return Response(b"", status_code=304, headers=headers)
    if packed is not None:
        headers["Content-Encoding"] = "gzip"
    return Response(file.body if packed is None else packed, media_type=file.media_type, headers=headers)


def _nothing_here() -> ApiError:
    return ApiError("not_found", "There is nothing at this path.")


@get("/", opt=PUBLIC, include_in_schema=False)
async def client_page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The client."""
    return _answer(request, _PAGE, _FRESH, _OF_DOCUMENTS)


@get("/worker.js", opt=PUBLIC, include_in_schema=False)
async def client_worker(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Its service worker, which another release makes another."""
    return _answer(request, _WORKER, _FRESH, _OF_DOCUMENTS)


@get("/app.webmanifest", opt=PUBLIC, include_in_schema=False)
async def client_manifest(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Serve the manifest that makes the client installable."""
    return _answer(request, _MANIFEST, _FRESH)


@get("/app/{release:str}/{name:path}", opt=PUBLIC, include_in_schema=False)
async def client_part(
    request: Request[Any, Any, Any], release: FromPath[str], name: FromPath[Path]
) -> Response[bytes]:
    """A part of this release. Those of another aren't here: the page that asks for them is to be loaded anew."""
    file = _PARTS.get(name.as_posix().removeprefix("/")) if release == RELEASE else None
    if file is None:
        raise _nothing_here()
    return _answer(request, file, _FOR_EVER)


@get("/sdk/{name:str}", opt=PUBLIC, include_in_schema=False)
async def sdk_file(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """The SDK, at an address that stays. Pages of any origin may import it."""
    file = _SDK.get(name)
    if file is None:
        raise _nothing_here()
    return _answer(request, file, _FRESH, _FOR_EVERYBODY)


HANDLERS: list[Any] = [client_page, client_worker, client_manifest, client_part, sdk_file]
