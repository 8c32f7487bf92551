"""Who may look: the browser that got the token, on this machine, by this machine's name."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from peakbench.errors import InputError

SHORTEST = 16
HEADERS = {
    "Server": "PeakBench",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# A redirect would keep the token in the history and, after a link from another site, would come without the cookie;
# a page that goes on by itself does neither.
_WELCOME = '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>PeakBench</title><p><a href="/">All runs</a></p></html>'  # noqa: E501


def checked_host(host: str) -> str:
    """Return the address to listen at.

    Raises:
        InputError: it is not an address of this machine alone.

    >>> checked_host("localhost"), checked_host("::1")
    ('127.0.0.1', '::1')
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise InputError(
        f"--host {host}: the runs would be shown to other machines",
        expected="an address of this machine alone: 127.0.0.1, ::1 or localhost",
        hint="from another machine, use a tunnel: ssh -L 8765:127.0.0.1:8765 HOST, with --port 8765",
    )


def checked_token(token: str | None) -> str:
    """Return the token, a random one where none is given.

    Raises:
        InputError: it is too short, or no plain text.
    """
    if token is None:
        return secrets.token_urlsafe(32)
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable():
        raise InputError("--token: too easy to guess", expected=f"{SHORTEST} or more printable ASCII characters")
    return token


def address(host: str, port: int) -> str:
    """Return the origin of the pages.

    >>> address("::1", 80), address("127.0.0.1", 8000)
    ('http://[::1]:80', 'http://127.0.0.1:8000')
    """
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Door:
    """Lets in who has the token, as a cookie or once in the address; everybody else reads nothing.

    A page of another site that has its name point to this machine comes with its own name in ``Host``, and is refused.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        # Cookies of one host are sent to every port of it: the cookie opens this server, and is not the token.
        self._session = secrets.token_urlsafe(32)
        self._names: frozenset[str] = frozenset()
        self._cookie = "peakbench-view"

    def open(self, host: str, port: int) -> str:
        """Say where the server listens; return the address with the token in it."""
        origin = address(host, port)
        self._names = frozenset({origin.removeprefix("http://"), f"localhost:{port}"})
        self._cookie = f"peakbench-view-{port}"
        return f"{origin}/?token={quote(self._token, safe='')}"

    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, or refuse it."""
        if request.headers.get("Host", "").lower() not in self._names:
            return _refused(421, "This server is not known by that name.")
        if request.method not in ("GET", "HEAD"):
            return _refused(405, "This server only shows.", {"Allow": "GET, HEAD"})
        origin = request.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://").lower() not in self._names:
            return _refused(403, "This server answers no other site.")
        given = request.query.get("token")
        if given is not None and request.path == "/":
            if not _same(given, self._token):
                return _refused(403, "The token is wrong: open the address that peakbench view has printed.")
            response = web.Response(text=_WELCOME, content_type="text/html")
            response.set_cookie(self._cookie, self._session, httponly=True, samesite="Strict", path="/")
            return response
        if not _same(request.cookies.get(self._cookie, ""), self._session):
            return _refused(403, "Open the address that peakbench view has printed: it holds the token.")
        return await handler(request)

    def middleware(self) -> Middleware:
        """Return what every request goes through."""

        @web.middleware
        async def through(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                response = await self.admit(request, handler)
            except web.HTTPException as error:
                response = _refused(error.status, error.reason)
            for name, value in HEADERS.items():
                response.headers[name] = value
            response.headers.setdefault("Content-Security-Policy", _CLOSED)
            return response

        return through


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode("utf-8"))


def _refused(status: int, why: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{why}\n", content_type="text/plain", headers=headers)
