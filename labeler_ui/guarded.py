"""An application that admits nobody without the link, and says in one line why it refuses."""

from flask import Flask, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response

from labeler_ui.access import NameBehind, guard
from labeler_ui.bodies import MOST_BYTES
from labeler_ui.settings import Site


def guarded_app(site: Site, name_behind: NameBehind, entrance: str) -> Flask:
    """An application without pages yet; for the arguments see `guard`."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    guard(app, site, name_behind, entrance)
    app.register_error_handler(HTTPException, refuse)
    return app


def refuse(error: HTTPException) -> Response | tuple[Response | str, int]:
    """Say why: in JSON to scripts, as a page to people."""
    if error.code is None or error.code < 400:
        return error.get_response()
    reason = error.description or error.name
    if isinstance(error, NotFound) and request.url_rule is None:
        reason = "there is no such page"
    if request.path.startswith("/api/") or request.method != "GET":
        refusal = jsonify(error=reason)
        refusal.headers.extend(_allowed(error))
        return refusal, error.code
    return render_template("refused.html", heading=error.name, reason=reason), error.code


def _allowed(error: HTTPException) -> list[tuple[str, str]]:
    """The header that a refused method must come with."""
    return [(name, value) for name, value in error.get_headers() if name == "Allow"]
