"""What the page's scripts ask for, in JSON; described in `openapi.yaml`."""

from dataclasses import asdict
from functools import partial
from typing import Any
from urllib.parse import unquote

from flask import Blueprint, Response, g, request, url_for
from werkzeug.exceptions import Conflict, NotFound, Unauthorized

from labeler_ui.bodies import AnswerBody, LeaseBody, ReleaseBody, UndoBody, read_body
from labeler_ui.curves import curves_of
from labeler_ui.pages import run_key
from labeler_ui.settings import Settings
from labeler_ui.status import Pace, Status, page_status
from prefrl.labels.desk import IdReused, LabelDesk, Lease, LeaseExpired, NothingToWithdraw
from prefrl.labels.schema import UnknownId
from prefrl.labels.store import LabelStore
from prefrl.run_directory import RunDirectory
from prefrl.types import Label


def api(
    run: RunDirectory, store: LabelStore, desk: LabelDesk, budget: int, settings: Settings
) -> Blueprint:
    """The routes below `/api`."""
    routes = Blueprint("api", __name__, url_prefix="/api")
    pace = Pace()
    sheets = SheetShelf(desk)
    routes.before_request(partial(_refuse_strayed, run_key(run)))

    def status() -> Status:
        return page_status(run, store, desk, g.labeler, pace, budget, settings.clock())

    def pair(lease: Lease) -> dict[str, Any]:
        return {
            "query": lease.query.id,
            "left": sheets.describe(lease.shown_left),
            "right": sheets.describe(lease.shown_right),
            "lease_s": settings.lease_s,
        }

    @routes.post("/leases")
    def lease() -> dict[str, Any]:
        body = read_body(request, LeaseBody)
        now = settings.clock()
        leases = desk.lease(g.labeler, body.session, int(body.n), settings.lease_s, now)
        return {"pairs": [pair(lease) for lease in leases], "status": status()}

    @routes.post("/release")
    def release() -> dict[str, Any]:
        body = read_body(request, ReleaseBody)
        return {"released": desk.release(g.labeler, body.session, settings.clock())}

    @routes.post("/answers")
    def answer() -> dict[str, Any]:
        body = read_body(request, AnswerBody)
        lease = _lease_of(desk, body.query, g.labeler, body.session)
        now = settings.clock()
        label = Label(
            body.id, body.query, g.labeler, lease.as_stored(body.answer), now,
            float(body.time_to_answer_s), lease.shown_left, lease.query.snapshot_version,
        )  # fmt: skip
        try:
            result = desk.answer(label, body.session, now)
        except LeaseExpired as error:
            raise Conflict("this pair is no longer yours to answer") from error
        except IdReused as error:
            raise Conflict("this id belongs to another answer") from error
        if not result.repeated:
            pace.add(now)
        return {"stored": True, "repeated": result.repeated}

    @routes.post("/undo")
    def undo() -> dict[str, Any]:
        body = read_body(request, UndoBody)
        _lease_of(desk, body.query, g.labeler, body.session)
        try:
            done = desk.withdraw(
                body.id, body.query, g.labeler, body.session, settings.lease_s, settings.clock()
            )
        except NothingToWithdraw as error:
            raise Conflict("there is no answer of yours to take back") from error
        except IdReused as error:
            raise Conflict("this id belongs to another answer") from error
        lent = None if done.lease is None else pair(done.lease)
        return {"withdrawn": True, "already_trained": done.trained, "pair": lent}

    @routes.get("/status")
    def show_status() -> Status:
        return status()

    @routes.get("/progress")
    def progress() -> dict[str, Any]:
        return {
            "curves": [asdict(curve) for curve in curves_of(run)],
            "labelers": [asdict(figures) for figures in desk.labeler_figures()],
            "agreement": desk.agreement(),
        }

    @routes.get("/clips/<clip_id>/<int:number>.png")
    def sheet(clip_id: str, number: int) -> Response:
        try:
            png = desk.sheets(clip_id).pngs[number]
        except (UnknownId, IndexError) as error:
            raise NotFound("there is no such picture") from error
        kept = {"Cache-Control": "private, max-age=31536000, immutable"}  # named by their content
        return Response(png, mimetype="image/png", headers=kept)

    return routes


def _refuse_strayed(key: str) -> None:
    """A page may stay open while another run takes its port, or another person its cookie.

    Raises:
        Unauthorized: The page says that it was made for others.
    """
    page = request.headers.get("X-Prefrl-Page")
    if page is not None and unquote(page) != f"{key}:{g.labeler}":
        raise Unauthorized("another run, or another person, is on this page now")


def _lease_of(desk: LabelDesk, query: str, labeler: str, session: str) -> Lease:
    """The lease under which the page has, or had, the pair.

    Raises:
        NotFound: It never had it, or there is no such pair.
    """
    lease = desk.lease_of(query, labeler, session)
    if lease is None:
        raise NotFound("this page was never given such a pair")
    return lease


class SheetShelf:
    """How clips are laid out on their sheets: asked once of the store, because it never changes."""

    def __init__(self, desk: LabelDesk) -> None:
        self._desk = desk
        self._known: dict[str, dict[str, Any]] = {}

    def describe(self, clip_id: str) -> dict[str, Any]:
        """What the page needs to draw a clip's frames."""
        if clip_id not in self._known:
            self._known[clip_id] = self._described(clip_id)
        return self._known[clip_id]

    def _described(self, clip_id: str) -> dict[str, Any]:
        layout = asdict(self._desk.sheets(clip_id))
        addresses = [
            url_for("api.sheet", clip_id=clip_id, number=number)
            for number in range(len(layout.pop("pngs")))
        ]
        return {"clip": clip_id, "sheets": addresses, **layout}
