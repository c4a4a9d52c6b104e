"""The application over a run: `create_app`."""

from pathlib import Path

import numpy as np
from flask import Flask, current_app, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response

from labeler_ui.access import guard
from labeler_ui.api import api
from labeler_ui.bodies import MOST_BYTES
from labeler_ui.pages import pages
from labeler_ui.settings import Settings
from prefrl.config_file import load_config
from prefrl.labels.desk import LabelDesk
from prefrl.labels.store import LabelStore, StoreError
from prefrl.run_directory import RunDirectory


def create_app(run: Path, settings: Settings) -> Flask:
    """The label page of a run, and what it asks for.

    Args:
        run: A run's folder; its label store is opened and stays open.
        settings: How it is served.

    Raises:
        RunError: There is no such run.
        ConfigError: Its configuration cannot be read.
        StoreError: It has no label store that can be used.
    """
    directory = RunDirectory.open(run)
    config = load_config(directory.config)
    store = LabelStore.open(directory.labels)
    # Which clip stands on the left must not be foreseen, and nothing is reproduced from it.
    desk = LabelDesk(
        store, np.random.default_rng(), overlap=settings.overlap, repeat_share=settings.repeat_share
    )
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    guard(app, desk, settings)
    app.register_blueprint(pages(directory, store, desk, config, settings))
    app.register_blueprint(api(directory, store, desk, config.label.budget, settings))
    app.register_error_handler(HTTPException, _refuse)
    app.register_error_handler(StoreError, _postpone)
    return app


def _refuse(error: HTTPException) -> Response | tuple[Response | str, int]:
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


def _postpone(error: StoreError) -> tuple[Response, int]:
    """The database is busy or broken: the page keeps what it wanted to say, and asks again."""
    current_app.logger.error(error)
    return jsonify(error="the label store cannot be used just now"), 503


def _allowed(error: HTTPException) -> list[tuple[str, str]]:
    """The header that a refused method must come with."""
    return [(name, value) for name, value in error.get_headers() if name == "Allow"]
