"""The application over a run: `create_app`."""

from pathlib import Path

import numpy as np
from flask import Flask, current_app, jsonify
from werkzeug.wrappers import Response

from labeler_ui.api import api
from labeler_ui.guarded import guarded_app
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
    app = guarded_app(settings, desk.labeler_of, "pages.label")
    app.register_blueprint(pages(directory, store, desk, config, settings))
    app.register_blueprint(api(directory, store, desk, config.label.budget, settings))
    app.register_error_handler(StoreError, _postpone)
    return app


def _postpone(error: StoreError) -> tuple[Response, int]:
    """The database is busy or broken: the page keeps what it wanted to say, and asks again."""
    current_app.logger.error(error)
    return jsonify(error="the label store cannot be used just now"), 503
