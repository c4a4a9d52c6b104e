"""Who gets in: the Host header, the token in the link, the cookie, same-origin, rates, headers."""

import hmac
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, redirect, request, url_for
from werkzeug.exceptions import Forbidden, TooManyRequests, Unauthorized
from werkzeug.wrappers import Response as BaseResponse

from labeler_ui.rates import RateLimit
from labeler_ui.settings import Site

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Whom a token stands for; None for one that is unknown.
NameBehind = Callable[[str], str | None]

COOKIE_AGE_S = 30 * 24 * 3600
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; object-src 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the first address holds the token
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class HostCheck:
    """Refuses requests that call this machine by a foreign name, before anything else runs.

    A foreign page can give its own name this machine's address, and then counts as same-origin.
    """

    def __init__(self, app: "WSGIApplication", names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    def __call__(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        """Pass on, or answer 421."""
        if _host_name(environ.get("HTTP_HOST", "")) in self._names:
            return self._app(environ, start)
        response = BaseResponse(
            '{"error": "this page is not served under that host name"}\n',
            421,
            {**HEADERS, "Cache-Control": "no-store"},
            content_type="application/json",
        )
        return response(environ, start)


def _host_name(host: str) -> str | None:
    """`127.0.0.1:5000` is `127.0.0.1`, `[::1]:5000` is `[::1]`; None if it is no host."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if name is None or parts.netloc != host or parts.username is not None:
        return None
    return f"[{name}]" if ":" in name else name


def only(name: str, token: str) -> NameBehind:
    """Lets in whoever has the one token, under that name."""
    return lambda given: name if hmac.compare_digest(given.encode(), token.encode()) else None


def guard(app: Flask, site: Site, name_behind: NameBehind, entrance: str) -> None:
    """Let nobody in who may not.

    Args:
        app: The application.
        site: Where it is served.
        name_behind: Knows the tokens.
        entrance: The endpoint that a link leads to: there alone a token in the address counts.
    """
    limit = RateLimit(site.rate)
    known: set[str] = set()  # tokens that were let in; whether they still count is asked each time

    def admit() -> BaseResponse | None:
        if request.endpoint == "static":
            return None
        token = request.args.get("token") if request.endpoint == entrance else None
        shown = token or request.cookies.get(site.cookie, "")
        if shown not in known:  # before anything is looked up: a stranger can guess without end
            _take_turn(limit, f"address {request.remote_addr}", site.clock)
        labeler = name_behind(shown) if shown else None
        if labeler is None:
            known.discard(shown)
            raise Unauthorized(
                "your link has ended, or was not opened here: open the link that was printed, "
                "or ask for a new one"
            )
        known.add(shown)
        _take_turn(limit, f"labeler {labeler}", site.clock)
        if request.method not in SAFE_METHODS and not _is_same_origin():
            raise Forbidden("only this page's own scripts may change anything")
        g.labeler = labeler
        return _enter(token, site.cookie, url_for(entrance)) if token else None

    app.before_request(admit)
    app.after_request(_add_headers)
    app.wsgi_app = HostCheck(app.wsgi_app, site.host_names)  # type: ignore[assignment, method-assign]


def _take_turn(limit: RateLimit, name: str, clock: Callable[[], float]) -> None:
    if not limit.admits(name, clock()):
        raise TooManyRequests("too many requests: wait a moment")


def _is_same_origin() -> bool:
    """Whether our own page sent the request. Browsers leave the first header out without TLS."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("Origin") == request.host_url.rstrip("/")


def _enter(token: str, cookie: str, address: str) -> BaseResponse:
    """Turn the token in the address into a cookie."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # After a link on a foreign page, a redirect would still count as coming from there, and
        # browsers would withhold the strict cookie. What this page loads comes from here.
        response = Response("", headers={"Refresh": f"0; url={address}"})
    else:
        response = current_app.make_response(redirect(address, 303))
    response.set_cookie(cookie, token, max_age=COOKIE_AGE_S, httponly=True, samesite="Strict")
    return response


def _add_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
