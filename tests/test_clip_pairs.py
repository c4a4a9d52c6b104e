"""Stored pairs are shown with their answers, those that the predictor gets wrong first."""

import dataclasses
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from labelled_run import make_frames
from untrained_run import untrained_run

from prefrl.cli import main
from prefrl.compute import prepare
from prefrl.labels.codec import StoreError
from prefrl.labels.sheets import make_sheets, sheet_frames
from prefrl.labels.store import LabelStore
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.runs.clip_frames import HOLD_S, RIGHT, WRONG, _opinion, pair_frames
from prefrl.runs.clip_pairs import Judged, films_of, judged_pairs
from prefrl.runs.foreign import config_of
from prefrl.runs.panel import CURVE, FOOT
from prefrl.runs.trained import load_ensemble
from prefrl.types import Clip, Film, Label, Query

LENGTH = 25


def vector_clip(seed: int) -> Clip:
    rng = np.random.default_rng(seed)
    return Clip(
        rng.normal(60, 40, (LENGTH + 1, 4)).astype(np.float32), np.zeros(LENGTH + 1, np.bool_),
        rng.integers(0, 5, LENGTH), rng.normal(size=LENGTH).astype(np.float32), seed,
    )  # fmt: skip


def label(query: Query, answer: str, labeler: str = "anna") -> Label:
    return Label(f"{query.id}{labeler}{answer}", query.id, labeler, answer, 0.0, 1.0, query.left)


@pytest.fixture(scope="module")
def pairs_run(tmp_path_factory):
    """Ten pairs: nine answered by anna, the first by ben too, one by nobody, and a repeat."""
    run = untrained_run(tmp_path_factory.mktemp("pairs") / "run", "prefrl/MovingDotPosition-v0")
    clips = [vector_clip(seed) for seed in range(20)]
    queries = [Query(a.id, b.id) for a, b in zip(clips[::2], clips[1::2], strict=True)]
    repeat = Query(queries[1].right, queries[1].left, repeat_of=queries[1].id)
    answers = ["left", "right"] * 3 + ["equal", "incomparable", "left"]
    with LabelStore.open(run.labels) as store:
        store.add_queries([*queries, repeat], {clip.id: clip for clip in clips})
        store.add_labels([label(q, a) for q, a in zip(queries[:9], answers, strict=True)])
        store.add_labels([label(queries[0], "right", "ben"), label(repeat, "left")])
    return run, queries


@pytest.fixture(scope="module")
def ensemble(pairs_run) -> RewardEnsemble:
    run, _ = pairs_run
    config = config_of(run, ())
    return load_ensemble(run, config, prepare(config))


def test_pairs_come_with_all_answers_and_the_members_probabilities(pairs_run, ensemble):
    run, queries = pairs_run
    with LabelStore.open(run.labels) as store:
        pairs = {pair.left: pair for pair in judged_pairs(store, ensemble)}
        assert set(pairs) == {query.left for query in queries[:9]}  # no repeat, none unanswered
        assert pairs[queries[0].left].answers == {"anna": "left", "ben": "right"}
        assert pairs[queries[0].left].mu == 0.5
        assert pairs[queries[7].left].mu is None
        for query in queries[:9]:
            left, right = (
                ensemble.clip_rewards([store.clip(id)]).sum((1, 2))
                for id in (query.left, query.right)
            )
            expected = 0.9 / (1 + np.exp(right - left)) + 0.05
            assert pairs[query.left].p_left == pytest.approx(expected)


def test_the_worst_predicted_come_first_and_those_nobody_could_compare_last(pairs_run, ensemble):
    run, queries = pairs_run
    with LabelStore.open(run.labels) as store:
        pairs = judged_pairs(store, ensemble)
    wrong = [pair.wrong for pair in pairs]
    assert any(wrong)
    assert not all(wrong)
    assert wrong == sorted(wrong, reverse=True)
    assert [pair.error for pair in pairs] == sorted((p.error for p in pairs), reverse=True)
    assert pairs[-1].left == queries[7].left
    for pair in pairs:
        if pair.mu in (0.0, 1.0):
            assert pair.wrong == ((pair.p_left.mean() > 0.5) != (pair.mu == 1.0))


@pytest.mark.parametrize(
    ("mu", "p", "wrong"),
    [(0.75, 0.3, True), (0.75, 0.6, False), (0.25, 0.45, False), (0.25, 0.51, True),
     (1.0, 0.49, True), (0.5, 0.9, False), (None, 0.9, False), (1.0, 0.5, False)],
)  # fmt: skip
def test_wrong_is_to_prefer_the_other_clip_than_most_labelers(mu, p, wrong):
    pair = Judged("a", "b", {}, mu, np.array([p - 0.01, p + 0.01]))
    assert pair.wrong == wrong


def test_a_wrong_pair_comes_before_a_right_one_that_is_predicted_worse(
    pairs_run, ensemble, tmp_path
):
    run, _ = pairs_run
    clips = [vector_clip(seed) for seed in range(30)]
    queries = [Query(a.id, b.id) for a, b in zip(clips[::2], clips[1::2], strict=True)]
    with LabelStore.open(run.labels) as source:
        task = source.fingerprint
    with LabelStore.create(tmp_path / "labels", task) as store:
        store.add_queries(queries, {clip.id: clip for clip in clips})
        store.add_labels([label(query, "left") for query in queries])
        p = {pair.left: float(pair.p_left.mean()) for pair in judged_pairs(store, ensemble)}
        wrong = max((q for q in queries if p[q.left] < 0.5), key=lambda q: p[q.left])
        right = min((q for q in queries if p[q.left] > 0.5), key=lambda q: p[q.left])
        store.add_labels([label(wrong, "equal", "ben")])  # three of four speak for the left one
        pairs = {pair.left: pair for pair in judged_pairs(store, ensemble)}
    assert pairs[wrong.left].error < pairs[right.left].error
    assert list(pairs).index(wrong.left) < list(pairs).index(right.left)


def changed(clip: Clip, **arrays: np.ndarray) -> Clip:
    return dataclasses.replace(clip, **arrays)


@pytest.mark.parametrize(
    "strange",
    [
        lambda c: changed(c, observations=c.observations[:, :3].copy()),
        lambda c: changed(c, observations=np.full_like(c.observations, np.inf)),
        lambda c: changed(c, true_rewards=np.full_like(c.true_rewards, np.nan)),
        lambda c: changed(c, actions=c.actions + 5),
        lambda c: changed(c, actions=c.actions - 5),
        lambda c: changed(c, actions=np.zeros((LENGTH, 2), np.float32)),
        lambda c: Clip(c.observations[:9], c.starts[:9], c.actions[:8], c.true_rewards[:8], 0),
        lambda c: Clip(
            np.zeros((LENGTH + 4, 8, 8), np.uint8), np.zeros(LENGTH + 4, np.bool_), c.actions,
            c.true_rewards, 0,
        ),
    ],
    ids=["size", "infinite", "nan", "action", "negative", "box", "short", "image"],
)  # fmt: skip
def test_a_clip_of_another_task_is_named_and_never_reaches_the_networks(
    pairs_run, tmp_path, capsys, monkeypatch, strange
):
    run = tmp_path / "run"
    shutil.copytree(pairs_run[0].path, run)
    clips = [vector_clip(100), strange(vector_clip(101))]
    query = Query(clips[0].id, clips[1].id)
    with LabelStore.open(run / "labels.sqlite3") as store:
        store.add_queries([query], {clip.id: clip for clip in clips})
        store.add_labels([label(query, "left")])
    assert main(["replay", str(run), "--clips"]) == 2
    out, err = capsys.readouterr()
    assert f"clip {clips[1].id} is not one of this run's task" in err
    assert (out, err.count("\n")) == ("", 1)


def test_labels_of_another_task_are_named(pairs_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(pairs_run[0].path, run)
    (run / "labels.sqlite3").unlink()
    LabelStore.create(run / "labels.sqlite3", {"environment": "ALE/Pong-v5"}).close()
    assert main(["replay", str(run), "--clips"]) == 2
    assert "these labels are of another task: environment is 'ALE/Pong" in capsys.readouterr().err


def test_the_command_says_how_many_are_wrong_and_plays_as_many_as_asked(
    pairs_run, ensemble, capsys
):
    run, _ = pairs_run
    with LabelStore.open(run.labels) as store:
        wrong = sum(pair.wrong for pair in judged_pairs(store, ensemble))
    assert main(["replay", str(run.path), "--clips", "--pairs", "2"]) == 0
    said, path = capsys.readouterr().out.splitlines()
    assert said == (
        f"the predictor gets {wrong} of the 6 pairs wrong that labelers decided; it was fitted to "
        "most of them: its validation accuracy is of those it was not"
    )
    with av.open(path) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 2 * (LENGTH + 1 + round(HOLD_S * 15))
    assert any((frame != frames[0]).any() for frame in frames)


def test_the_clip_that_was_preferred_has_a_bar_and_a_wrong_opinion_is_red(pairs_run, ensemble):
    run, _ = pairs_run
    with LabelStore.open(run.labels) as store:
        pairs = judged_pairs(store, ensemble)
        first_frames = list(pair_frames(store, ensemble, pairs, 15))[:: LENGTH + 1 + 12]
    for pair, frame in zip(pairs, first_frames, strict=True):
        barred = [bool((frame[50, x] == RIGHT).all()) for x in (100, 500)]
        assert barred == [pair.mu == 1.0, pair.mu == 0.0]
        assert bool((frame[:48] == WRONG).all(2).any()) == pair.wrong


@pytest.mark.parametrize(
    ("p_left", "said"),
    [([0.3, 0.4], "right, p = 0.65 (members 0.70 0.60)"),
     ([0.8, 0.4], "left, p = 0.60 (members 0.80 0.40)"),
     ([0.75, 0.25], "neither, p = 0.50 (members 0.75 0.25)")],
)  # fmt: skip
def test_the_opinion_names_the_side_that_is_predicted(p_left, said):
    assert _opinion(np.array(p_left)) == f"predicted: {said}"


def test_the_pictures_are_those_that_people_saw(pairs_run, ensemble, tmp_path):
    clips = [vector_clip(100), vector_clip(101)]
    with LabelStore.open(pairs_run[0].labels) as source:
        task = source.fingerprint
    films = {clip.id: Film(make_frames(i, (50, 40)), 10.0) for i, clip in enumerate(clips)}
    with LabelStore.create(tmp_path / "labels", task) as store:
        query = Query(clips[0].id, clips[1].id)
        sheets = {id: make_sheets(film) for id, film in films.items()}
        store.add_queries([query], {clip.id: clip for clip in clips}, sheets)
        store.add_labels([label(query, "left")])
        for clip, film in zip(clips, films_of(store, clips), strict=True):
            assert (film.frames == films[clip.id].frames).all()
            assert film.frames_per_second == 10
        frames = list(pair_frames(store, ensemble, judged_pairs(store, ensemble), 10))
    assert frames[0].shape == (48 + 8 + 400 + 2 * CURVE + FOOT, 2 * 320 + 24, 3)
    assert (frames[7][56:456:8, 8:328:8] == films[clips[0].id].frames[7]).all()
    assert (frames[7][56:456:8, 336:656:8] == films[clips[1].id].frames[7]).all()


def test_without_pictures_images_are_what_the_policy_saw(make_clip, tmp_path):
    clip = make_clip(3, image=True)
    with LabelStore.create(tmp_path / "labels", {}) as store:
        (film,) = films_of(store, [clip])
    assert len(film.frames) == len(clip) + 1
    newest = clip.observations[clip.frame_stack - 1 :]
    assert (film.frames == newest[..., None]).all()


def test_vectors_are_drawn_as_curves_on_one_scale(tmp_path):
    flat = vector_clip(1)
    flat.observations[:] = 0
    other = vector_clip(2)
    other.observations[:, 0] = np.linspace(-1, 1, LENGTH + 1)
    other.observations[:, 1:] = 0
    with LabelStore.create(tmp_path / "labels", {}) as store:
        still, moving = (film.frames for film in films_of(store, [flat, other]))
    red = still[-1][..., 0].astype(int) - still[-1][..., 2] > 50
    assert red[:20].any()  # the number that has this colour
    rows = 20 + np.flatnonzero(red[20:].any(1))
    assert 120 < rows.mean() < 140  # 0 lies half way between -1 and 1
    drawn = [int((frame > 100).any(2).sum()) for frame in moving]
    assert drawn[-1] > drawn[10] > drawn[1]


@pytest.mark.parametrize("frames", [2, 26, 400])
def test_sheets_can_be_taken_apart_again(frames):
    rng = np.random.default_rng(frames)
    film = Film(rng.integers(0, 256, (frames, 50, 40, 3), np.uint8), 15.0)
    assert (sheet_frames(make_sheets(film)) == film.frames).all()


def test_damaged_pictures_are_named(tmp_path):
    sheets = make_sheets(Film(make_frames(0, (50, 40)), 15.0))
    for pngs in ((b"no picture",), (sheets.pngs[0][:100],)):
        with pytest.raises(StoreError, match="a picture of a clip"):
            sheet_frames(type(sheets)(pngs, 40, 50, 26, 1, 26, 15.0))
    with pytest.raises(StoreError, match="a picture of a clip is 1040x50 large"):
        sheet_frames(type(sheets)(sheets.pngs, 41, 50, 26, 1, 26, 15.0))


def test_a_baseline_has_no_clips(tmp_path: Path, capsys):
    run = untrained_run(tmp_path / "run", "prefrl/MovingDotPosition-v0", reward="true")
    assert main(["replay", str(run.path), "--clips"]) == 2
    assert "learned from the true reward: it has no clips" in capsys.readouterr().err
