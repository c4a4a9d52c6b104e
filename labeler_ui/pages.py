"""The two pages that people open, and the videos on the second."""

import hashlib

from flask import Blueprint, Response, g, render_template, send_from_directory, url_for

from labeler_ui.charts import chart_of
from labeler_ui.curves import curves_of
from labeler_ui.instructions import instructions_for
from labeler_ui.labelers import labelers_table
from labeler_ui.settings import Settings
from prefrl.config import Config
from prefrl.labels.desk import LabelDesk
from prefrl.labels.store import LabelStore
from prefrl.run_directory import RunDirectory


def pages(
    run: RunDirectory, store: LabelStore, desk: LabelDesk, config: Config, settings: Settings
) -> Blueprint:
    """The pages' routes."""
    routes = Blueprint("pages", __name__)
    name = run.path.resolve().name
    # What a browser keeps of one run it must not send to another on the same port.
    run_key = hashlib.sha256(str(run.path.resolve()).encode()).hexdigest()[:16]
    instructions = settings.instructions or instructions_for(config.env.id)

    @routes.get("/")
    def label() -> str:
        return render_template(
            "label.html", run=name, run_key=run_key, labeler=g.labeler, instructions=instructions
        )

    @routes.get("/progress")
    def progress() -> str:
        given = store.counts().answered
        return render_template(
            "progress.html",
            run=name,
            summary=f"{given:,} of {config.label.budget:,} answers are given.",
            charts=[chart_of(curve) for curve in curves_of(run)],
            **labelers_table(desk),
            video=_newest_video(run),
        )

    @routes.get("/videos/<name>.mp4")
    def video(name: str) -> Response:
        return send_from_directory(run.videos.resolve(), f"{name}.mp4", conditional=True)

    return routes


def _newest_video(run: RunDirectory) -> str | None:
    """The address of the newest whole video; it changes when the file does."""
    files = [path for path in run.videos.glob("*.mp4") if not path.name.endswith(".partial.mp4")]
    if not files:
        return None
    newest = max(files, key=lambda path: path.stat().st_mtime_ns)
    made = newest.stat().st_mtime_ns
    return url_for("pages.video", name=newest.stem, made=made)
