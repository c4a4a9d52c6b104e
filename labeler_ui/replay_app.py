"""The application over a replay: `create_view`. Its stretches can be put into the queue."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from flask import Blueprint, Flask, Response, render_template, request, send_file
from werkzeug.exceptions import Conflict, NotFound

from labeler_ui.access import NameBehind
from labeler_ui.bodies import Rule, read_body
from labeler_ui.guarded import guarded_app
from labeler_ui.replay_plots import plots_of, ticks_of
from labeler_ui.settings import Site
from prefrl.labels.store import LabelStore, StoreError
from prefrl.run_directory import RunDirectory
from prefrl.run_status import status_of
from prefrl.runs.archive import name_of
from prefrl.runs.stretches import ask, cut, peaks
from prefrl.types import Film

if TYPE_CHECKING:  # it imports torch, which nothing here needs
    from prefrl.runs.replay import Episode, Replay

MOST_MOMENTS = 6  # as many as are looked at
_NOT_OF_THEN = " Rewards are predicted by the run’s last ensemble."


@dataclass(frozen=True)
class View:
    """What a page of a replay needs.

    Attributes:
        run: Whose policy plays; its label store takes the queries.
        replay: What was played.
        video: Its file: of each frame the upper part is the picture.
        picture: Width and height of that part.
        task: The fingerprint of the run's task, which its label store must be of.
    """

    run: RunDirectory
    replay: "Replay"
    video: Path
    picture: tuple[int, int]
    task: Mapping[str, Any]

    @property
    def clip_length(self) -> int:
        """Steps of a clip in this run."""
        length: int = self.task["clip_length"]
        return length


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


Count = Annotated[int, Rule("a whole number from 0 on", _is_count)]


@dataclass(frozen=True)
class StretchBody:
    """A stretch is to be compared with another clip."""

    episode: Count
    start: Count


def create_view(view: View, site: Site, name_behind: NameBehind) -> Flask:
    """The page of a replay.

    Args:
        view: What it shows.
        site: How it is served.
        name_behind: Knows the tokens.
    """
    app = guarded_app(site, name_behind, "view.show")
    app.register_blueprint(_pages(view))
    return app


def _pages(view: View) -> Blueprint:
    routes = Blueprint("view", __name__)
    rng = np.random.default_rng()  # which clip stands beside one must not be foreseen

    @routes.get("/")
    def show() -> str:
        number = request.args.get("episode", 0, type=int)
        return render_template("replay.html", **_shown(view, number, _episode(view, number)))

    @routes.get("/api/episodes/<int:number>")
    def rewards(number: int) -> dict[str, Any]:
        episode = _episode(view, number)
        predicted = episode.predicted
        return {
            "true": episode.true.tolist(),
            "predicted": None if predicted is None else predicted.mean(0).tolist(),
            "disagreement": None if predicted is None else predicted.std(0).tolist(),
        }

    @routes.get("/video.mp4")
    def video() -> Response:
        return send_file(view.video.absolute(), mimetype="video/mp4", conditional=True)

    @routes.post("/api/queue")
    def queue() -> dict[str, str]:
        body = read_body(request, StretchBody)
        return {"said": _ask(view, body, _episode(view, body.episode), rng)}

    return routes


def _episode(view: View, number: int) -> "Episode":
    if not 0 <= number < len(view.replay.episodes):
        raise NotFound("there is no such episode")
    return view.replay.episodes[number]


def _shown(view: View, number: int, episode: "Episode") -> dict[str, Any]:
    """What `replay.html` shows of an episode."""
    replay, steps = view.replay, len(episode.true)
    disagreement = episode.disagreement
    found = [] if disagreement is None else peaks(disagreement, MOST_MOMENTS, view.clip_length)
    older = disagreement is not None and not replay.is_last
    drawn = "the likeliest actions" if replay.deterministic else "actions drawn"
    return {
        "run": name_of(view.run),
        "summary": f"The policy “{replay.policy}” after {replay.env_steps:,} steps in "
        f"{replay.env_id}, seed {replay.seed}, {drawn}.{_NOT_OF_THEN if older else ''}",
        "number": number,
        "episodes": len(replay.episodes),
        "fps": replay.frames_per_second,
        "first_frame": sum(len(other.pictures) for other in replay.episodes[:number]),
        "steps": steps,
        "picture": view.picture,
        "clip_length": view.clip_length,
        "plots": plots_of(episode.predicted, episode.true),
        "ticks": ticks_of(steps),
        "moments": [
            {"step": step + 1, "deviation": f"{disagreement[step]:.2f}"} for step in found
        ] if disagreement is not None else [],
        "hindrance": _hindrance(view, steps),
    }  # fmt: skip


def _hindrance(view: View, steps: int) -> str:
    """Why nothing can be asked; empty if something can."""
    if steps < view.clip_length:
        return f"This episode is shorter than a clip, which has {view.clip_length} steps."
    if view.replay.episodes[0].predicted is None:
        return "This run learned from the true reward: it asks nobody."
    return ""


def _ask(view: View, body: StretchBody, episode: "Episode", rng: np.random.Generator) -> str:
    """Put a stretch into the queue, and say what becomes of it."""
    if hindrance := _hindrance(view, len(episode.true)):
        raise Conflict(hindrance)
    env_step, length = view.replay.env_steps, view.clip_length
    try:
        clip = cut(episode.trajectory, body.start, length, env_step)
    except ValueError as error:
        raise Conflict(f"there is no such stretch: {error}") from error
    pictures = map(episode.picture, range(body.start, body.start + length + 1))
    film = Film(np.stack(list(pictures)), view.replay.frames_per_second)
    try:
        with LabelStore.open(view.run.labels) as store:
            store.check_fingerprint(view.task)
            asked = ask(store, clip, film, env_step, rng)
    except StoreError as error:
        raise Conflict(str(error)) from error
    what = f"Steps {body.start + 1} to {body.start + length} are in the queue"
    if asked.for_people:
        return f"{what}, beside a clip drawn at random: prefrl label {view.run.path}"
    what += ", beside a clip without pictures for people"
    if status_of(view.run).state == "running":
        return f"{what}: the oracle will answer."
    return (
        f"{what}, and the run with its oracle has ended: nobody will answer. "
        "Queue a second stretch, and people can compare the two."
    )
