"""The application over a folder of runs: `create_archive`. It changes nothing."""

import mimetypes
from functools import lru_cache

from flask import Blueprint, Flask, Response, render_template, request, send_file
from markupsafe import Markup
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

from labeler_ui.access import NameBehind
from labeler_ui.archive.catalogue import SPARK_HEIGHT, SPARK_WIDTH, Catalogue, Row
from labeler_ui.archive.compare_page import compare_page
from labeler_ui.archive.run_page import run_page
from labeler_ui.charts import minus
from labeler_ui.guarded import guarded_app, refuse
from labeler_ui.settings import Site
from prefrl.run_directory import RunDirectory, RunError
from prefrl.runs.archive import text
from prefrl.runs.foreign import open_run, plain_file
from prefrl.runs.tables import duration, number

MOST_COMPARED = 24  # runs, so that their differences still fit a table
KEPT_LINES = 10_000  # of the list, written; half a kilobyte each
SHOWN = {"video/mp4", "image/png"}  # other files are handed out, never shown: they could hold code


class Damaged(HTTPException):
    """A run that is there and cannot be shown."""

    code = 409
    description = ""


def create_archive(catalogue: Catalogue, title: str, site: Site, name_behind: NameBehind) -> Flask:
    """The pages of an archive.

    Args:
        catalogue: Of the runs.
        title: What the folder is called.
        site: How it is served.
        name_behind: Knows the tokens.
    """
    app = guarded_app(site, name_behind, "archive.index")
    app.jinja_env.filters |= {"number": number, "duration": duration, "minus": minus}
    app.register_blueprint(_pages(catalogue, text(title)))
    app.register_error_handler(RunError, lambda error: refuse(Damaged(text(str(error)))))
    app.register_error_handler(
        RecursionError, lambda _: refuse(Damaged("a record of this run is nested too deeply"))
    )
    return app


def _pages(catalogue: Catalogue, title: str) -> Blueprint:
    routes = Blueprint("archive", __name__)

    @lru_cache(maxsize=KEPT_LINES)
    def written(row: Row) -> Markup:
        html = render_template("run_row.html", row=row, width=SPARK_WIDTH, height=SPARK_HEIGHT)
        return Markup(html)  # the template has escaped what is foreign

    @routes.get("/")
    def index() -> str:
        return render_template("runs.html", run=title, rows=catalogue.rows(), written=written)

    @routes.get("/runs/<key>")
    def run(key: str) -> str:
        return render_template("run.html", **run_page(_found(catalogue, key), key))

    @routes.get("/runs/<key>/files/<path:name>")
    def file(key: str, name: str) -> Response:
        path = plain_file(_found(catalogue, key), name)
        if path is None:
            raise NotFound("the run has no such file")
        kind = mimetypes.guess_type(name)[0]
        if kind in SHOWN:
            return send_file(path.absolute(), mimetype=kind, conditional=True)
        return send_file(
            path.absolute(), mimetype="application/octet-stream", as_attachment=True,
            download_name=path.name,
        )  # fmt: skip

    @routes.get("/compare")
    def compare() -> str:
        keys = list(dict.fromkeys(request.args.getlist("run")))
        if not 2 <= len(keys) <= MOST_COMPARED:
            raise BadRequest(f"choose 2 to {MOST_COMPARED} runs in the list")
        runs = {key: open_run(_found(catalogue, key).path) for key in keys}
        return render_template("compare.html", run=title, **compare_page(runs))

    return routes


def _found(catalogue: Catalogue, key: str) -> RunDirectory:
    """The run, whose files were not looked at yet.

    Raises:
        NotFound: There is none of this name.
        RunError: It is gone.
    """
    found = catalogue.run(key)
    if found is None:
        raise NotFound("there is no such run")
    return RunDirectory.open(found.path)
