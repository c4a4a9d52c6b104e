"""The two pages that people open, and the videos on the second."""

import hashlib
import re

from flask import Blueprint, Response, g, render_template, send_from_directory, url_for
from werkzeug.exceptions import NotFound

from labeler_ui.charts import charts_of
from labeler_ui.curves import curves_of
from labeler_ui.instructions import instructions_for
from labeler_ui.labelers import labelers_table
from labeler_ui.settings import Settings
from labeler_ui.status import answers_given
from prefrl.config import Config
from prefrl.labels.desk import LabelDesk
from prefrl.labels.store import LabelStore
from prefrl.run_directory import RunDirectory

SHOWN_VIDEO = re.compile(r"evaluation|step-\d+")  # of the environment's pictures alone


def pages(
    run: RunDirectory, store: LabelStore, desk: LabelDesk, config: Config, settings: Settings
) -> Blueprint:
    """The pages' routes."""
    routes = Blueprint("pages", __name__)
    name = run.path.resolve().name
    instructions = settings.instructions or instructions_for(config.env.id)

    @routes.get("/")
    def label() -> str:
        return render_template(
            "label.html",
            run=name,
            run_key=run_key(run),
            labeler=g.labeler,
            instructions=instructions,
        )

    @routes.get("/progress")
    def progress() -> str:
        given, wanted = answers_given(store, desk, config.label.budget)
        return render_template(
            "progress.html",
            run=name,
            summary=f"{given:,} of {wanted:,} answers are given.",
            charts=charts_of(curves_of(run)),
            **labelers_table(desk),
            video=_newest_video(run),
        )

    @routes.get("/videos/<name>.mp4")
    def video(name: str) -> Response:
        if not SHOWN_VIDEO.fullmatch(name):
            raise NotFound("there is no such video")
        return send_from_directory(run.videos.resolve(), f"{name}.mp4", conditional=True)

    return routes


def run_key(run: RunDirectory) -> str:
    """Names a run in a browser: what it keeps of one must not go to another on the same port."""
    return hashlib.sha256(str(run.path.resolve()).encode()).hexdigest()[:16]


def _newest_video(run: RunDirectory) -> str | None:
    """The address of the newest video of an episode; it changes when the file does.

    Not those that `prefrl replay` makes, which show the true rewards.
    """
    files = [*run.videos.glob("step-*[0-9].mp4"), *run.videos.glob("evaluation.mp4")]
    if not files:
        return None
    newest = max(files, key=lambda path: path.stat().st_mtime_ns)
    made = newest.stat().st_mtime_ns
    return url_for("pages.video", name=newest.stem, made=made)
