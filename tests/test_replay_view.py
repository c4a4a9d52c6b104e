"""A replay's page as a browser gets it, and the stretches that it puts into the queue."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled_run import make_clip, make_frames
from untrained_run import untrained_run

from labeler_ui.access import only
from labeler_ui.replay_app import View, create_view
from labeler_ui.replay_plots import plots_of, ticks_of
from labeler_ui.settings import Site
from prefrl.cli import main
from prefrl.labels.codec import StoreError
from prefrl.labels.sheets import make_sheets, read_sheets, sheet_frames
from prefrl.labels.store import LabelStore
from prefrl.policy.environment import fingerprint, task_spaces
from prefrl.run_directory import RunDirectory
from prefrl.run_status import StatusFile
from prefrl.runs.foreign import config_of
from prefrl.runs.replay import Replay, play
from prefrl.runs.stretches import ask, cut, peaks
from prefrl.runs.trained import load_trained
from prefrl.types import Clip, Film

PORT = 5000
HOST = f"http://127.0.0.1:{PORT}"
TOKEN = "t" * 43
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
STEPS, LENGTH = 20, 8
SHORT = {"env_arguments": (f"max_frames={4 * STEPS}",), "env_clip_length": LENGTH}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Replay]:
    path = tmp_path_factory.mktemp("view") / "run"
    run = untrained_run(path, "prefrl/MovingDotPosition-v0", **SHORT)
    return run, play(load_trained(run), "last", episodes=2)


def task_of(run: RunDirectory) -> dict[str, Any]:
    env = config_of(run, ()).env
    return fingerprint(env, task_spaces(env))


@pytest.fixture
def store(played: tuple[RunDirectory, Replay], tmp_path: Path) -> LabelStore:
    """An empty store in place of the run's."""
    path = played[0].labels
    path.unlink(missing_ok=True)
    return LabelStore.create(path, task_of(played[0]))


@pytest.fixture
def visit(played: tuple[RunDirectory, Replay], tmp_path: Path) -> Callable[..., "Visitor"]:
    def made(clip_length: int = LENGTH, policy: str = "last") -> Visitor:
        (tmp_path / "a.mp4").write_bytes(bytes(range(100)))
        run, replay = played
        task = task_of(run) | {"clip_length": clip_length}
        shown = replace(replay, policy=policy)
        return Visitor(View(run, shown, tmp_path / "a.mp4", (320, 420), task))

    return made


class Visitor:
    def __init__(self, view: View) -> None:
        self.app = create_view(view, Site(PORT), only("owner", TOKEN))
        self.client = self.app.test_client()
        self.client.set_cookie(f"prefrl_{PORT}", TOKEN, domain="127.0.0.1")

    def get(self, path: str, **headers):
        return self.client.get(path, base_url=HOST, headers=headers, buffered=True)

    def queue(self, headers=SAME_ORIGIN, **body):
        return self.client.post("/api/queue", json=body, base_url=HOST, headers=headers)


def with_pictures(store: LabelStore, seeds: range) -> list[Clip]:
    clips = [make_clip(seed) for seed in seeds]
    sheets = {
        clip.id: make_sheets(Film(make_frames(seed, (8, 8)), 15.0))
        for seed, clip in zip(seeds, clips, strict=True)
    }
    store.add_queries([], {clip.id: clip for clip in clips}, sheets)
    return clips


# --- stretches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [False, True])
def test_what_is_cut_is_what_the_policy_saw_and_did_then(make_clip, image):
    whole = make_clip(1, length=30, image=image)
    clip = cut(whole, 7, 10, env_step=123)
    assert (clip.stacked() == whole.stacked()[7:18]).all()
    assert (clip.actions == whole.actions[7:17]).all()
    assert (clip.true_rewards == whole.true_rewards[7:17]).all()
    assert (len(clip), clip.frame_stack, clip.env_step) == (10, whole.frame_stack, 123)


@pytest.mark.parametrize("start", [-1, 21, 30])
def test_steps_that_were_not_played_cannot_be_cut(make_clip, start):
    with pytest.raises(ValueError, match="the episode has 30"):
        cut(make_clip(1, length=30), start, 10, 0)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.integers(1, 9), st.integers(1, 9))
def test_peaks_are_apart_and_nothing_higher_lies_between(values, most, apart):
    found = peaks(np.array(values), most, apart)
    assert 1 <= len(found) <= most
    assert found[0] == values.index(max(values))
    heights = [values[i] for i in found]
    assert heights == sorted(heights, reverse=True)
    for i, value in enumerate(values):
        near = [peak for peak in found if abs(peak - i) < apart]
        assert near or value <= heights[-1]
    assert all(abs(a - b) >= apart for a in found for b in found if a != b)


def test_a_stretch_is_asked_about_beside_a_clip_that_people_can_be_shown(tmp_path):
    clip, film = make_clip(9), Film(make_frames(99, (8, 8)), 15.0)
    with LabelStore.create(tmp_path / "labels", {}) as store:
        with pytest.raises(StoreError, match="there is no clip to compare with"):
            ask(store, clip, film, 5, np.random.default_rng(0))
        store.add_queries([], {other.id: other for other in [make_clip(1), make_clip(2)]})
        asked = ask(store, clip, film, 5, np.random.default_rng(0))
        assert not asked.for_people
        shown = {other.id for other in with_pictures(store, range(3, 6))}
        partners = set()
        for seed in range(40):
            asked = ask(store, clip, film, 5, np.random.default_rng(seed))
            assert asked.for_people
            partners |= {asked.query.left, asked.query.right} - {clip.id}
        assert partners == shown
        queued = store.pending("anna")
        assert clip.id in {query.left for query in queued} & {query.right for query in queued}
        assert store.clip(clip.id).id == clip.id


# --- the page ------------------------------------------------------------------------------------


def test_the_page_shows_each_episode_with_its_curve_and_moments(played, visit):
    page = visit()
    _, replay = played
    for number, episode in enumerate(replay.episodes):
        text = page.get(f"/?episode={number}").text
        assert f'data-first-frame="{number * (STEPS + 1)}"' in text
        assert f'data-steps="{STEPS}"' in text
        assert 'data-fps="15.0"' in text
        assert text.count('class="band"') == 1
        assert text.count('class="curve"') == 2
        assert re.findall(r"<text [^>]+>([^<]+)<", text)[-1] == f"{STEPS} steps"
        highest = int(np.argmax(episode.disagreement)) + 1
        assert f'data-action="moment" data-step="{highest}"' in text
        rewards = page.get(f"/api/episodes/{number}").json
        assert rewards["true"] == episode.true.tolist()
        assert np.allclose(rewards["predicted"], episode.predicted.mean(0))
        assert np.allclose(rewards["disagreement"], episode.disagreement)
    for number in (-1, 2):
        assert page.get(f"/?episode={number}").status_code == 404


def test_the_plot_is_of_the_values_at_the_steps_where_their_picture_is_seen():
    predicted = np.array([[0, 2, -1], [0, 4, -3]], np.float32)
    top, bottom = plots_of(predicted, np.array([1, 0, 1], np.float32))
    assert (top.high, top.low, bottom.high, bottom.low) == ("4", "−3", "1", "0")
    places = [tuple(map(float, place.split(","))) for place in top.line.split()]
    assert [x for x, _ in places] == [1, 2, 3]
    values = [4 - y * 7 / 100 for _, y in places]
    assert np.allclose(values, [0, 3, -2], atol=0.01)
    assert top.band.split()[:3] == ["1,57.14", "2,0.00", "3,71.43"]
    assert top.band.split()[3:] == ["3,100.00", "2,28.57", "1,57.14"]
    assert bottom.band == ""
    assert [plot.name for plot in plots_of(None, predicted[0])] == ["true"]


@pytest.mark.parametrize(
    ("steps", "texts"),
    [(250, ["0", "100", "200 steps"]), (20, ["0", "5", "10", "15", "20 steps"]),
     (1, ["0", "1 steps"]), (4000, ["0", "1,000", "2,000", "3,000", "4,000 steps"])],
)  # fmt: skip
def test_the_steps_below_the_plots_are_round(steps, texts):
    ticks = ticks_of(steps)
    assert [tick.text for tick in ticks] == texts
    assert all(tick.at <= steps for tick in ticks)


def test_a_stretch_is_put_into_the_queue_with_its_pictures(played, visit, store):
    with_pictures(store, range(3))
    run, replay = played
    said = visit().queue(episode=1, start=5)
    assert said.status_code == 200, said.text
    assert said.json["said"].startswith(f"Steps 6 to {5 + LENGTH} are in the queue")
    assert f"prefrl label {run.path}" in said.json["said"]
    (query,) = store.pending("anna")
    assert query.env_step == 1234
    episode = replay.episodes[1]
    expected = cut(episode.trajectory, 5, LENGTH, 1234)
    assert expected.id in (query.left, query.right)
    stored = store.clip(expected.id)
    assert (stored.observations == episode.trajectory.observations[5 : 5 + LENGTH + 1]).all()
    with store.transaction() as connection:
        frames = sheet_frames(read_sheets(connection, store.name, expected.id))
    for t, frame in enumerate(frames):
        assert (frame == episode.picture(5 + t)).all()
    store.close()


def test_where_an_oracle_answers_the_query_is_left_to_it(played, visit, store):
    store.add_queries([], {clip.id: clip for clip in [make_clip(1)]})
    StatusFile(played[0])  # this process runs it
    said = visit().queue(episode=0, start=0).json["said"]
    played[0].status.unlink()
    assert said.endswith("without pictures for people: the oracle will answer.")
    assert len(store.pending("oracle")) == 1
    store.close()


def test_no_oracle_is_promised_where_the_run_has_ended(played, visit, store):
    store.add_queries([], {clip.id: clip for clip in [make_clip(1)]})
    page = visit()
    said = page.queue(episode=0, start=0).json["said"]
    assert "the run with its oracle has ended: nobody will answer. Queue a second stretch" in said
    again = page.queue(episode=0, start=STEPS - LENGTH).json["said"]
    assert again.endswith(f": prefrl label {played[0].path}")
    store.close()


def test_a_stretch_is_kept_out_of_a_store_of_another_task(played, visit, store):
    store.close()
    played[0].labels.unlink()
    with LabelStore.create(played[0].labels, {"environment": "ALE/Pong-v5"}) as other:
        with_pictures(other, range(3))
        refusal = visit().queue(episode=0, start=0)
        assert refusal.status_code == 409
        assert "these labels are of another task: environment is" in refusal.json["error"]
        assert other.pending("anna") == []


def test_the_page_says_where_the_rewards_are_those_of_a_later_ensemble(visit):
    said = "Rewards are predicted by the run’s last ensemble."
    assert said in visit(policy="best").get("/").text
    assert said not in visit().get("/").text


@pytest.mark.parametrize(
    ("body", "status"),
    [({"episode": 0, "start": STEPS - LENGTH + 1}, 409), ({"episode": 2, "start": 0}, 404),
     ({"episode": 0, "start": -1}, 422), ({"episode": 0, "start": 1.5}, 422),
     ({"episode": 0}, 422), ({"episode": 0, "start": 0, "more": 1}, 422)],
)  # fmt: skip
def test_a_stretch_that_is_none_is_refused(visit, store, body, status):
    with_pictures(store, range(3))
    refusal = visit().queue(**body)
    assert refusal.status_code == status
    assert refusal.json["error"]
    assert store.pending("anna") == []
    store.close()


def test_what_cannot_be_asked_about_is_said_before_anyone_tries(visit, store):
    page = visit(clip_length=STEPS + 1)
    assert "shorter than a clip" in page.get("/").text
    assert 'data-action="queue"' not in page.get("/").text
    assert page.queue(episode=0, start=0).status_code == 409
    store.close()


def test_without_stored_clips_or_a_store_the_refusal_says_so(played, visit, store):
    page = visit()
    assert "no clip to compare with" in page.queue(episode=0, start=0).json["error"]
    store.close()
    played[0].labels.unlink()
    assert "no such file" in page.queue(episode=0, start=0).json["error"]


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}])
def test_only_the_page_itself_queues_anything(visit, store, headers):
    with_pictures(store, range(3))
    assert visit().queue(headers, episode=0, start=0).status_code == 403
    assert store.pending("anna") == []
    store.close()


def test_nobody_gets_in_without_the_token(visit, store):
    stranger = visit().app.test_client()
    for path in ("/", "/video.mp4", "/api/episodes/0"):
        assert stranger.get(path, base_url=HOST).status_code == 401
    sent = stranger.post("/api/queue", json={}, base_url=HOST, headers=SAME_ORIGIN)
    assert sent.status_code == 401
    store.close()


def test_the_video_can_be_sought_in(visit):
    part = visit().get("/video.mp4", Range="bytes=10-19")
    assert (part.status_code, part.data, part.mimetype) == (206, bytes(range(10, 20)), "video/mp4")


@pytest.mark.parametrize("other", ["--clips", "--window"])
def test_a_page_shows_a_policy_and_nothing_else(played, capsys, other):
    assert main(["replay", str(played[0].path), "--view", other]) == 2
    assert "leave out --clips and --window" in capsys.readouterr().err
