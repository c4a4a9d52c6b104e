import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrl.types import Clip, Film, Label, Query, clips_for


def naive_stacks(clip: Clip) -> np.ndarray:
    """The stacks as an environment makes them: one frame in, the oldest out, zeros at a start."""
    k = clip.frame_stack
    stacks = []
    for t in range(len(clip) + 1):
        stack = np.zeros((k, *clip.observations.shape[1:]), np.uint8)
        for position in range(t, t + k):
            if clip.starts[position]:
                stack[:] = 0
            stack = np.concatenate([stack[1:], clip.observations[position][None]])
        stacks.append(stack)
    return np.stack(stacks)


def image_clip(starts: np.ndarray, k: int) -> Clip:
    n = len(starts)
    frames = np.arange(1, n * 4 + 1, dtype=np.uint8).reshape(n, 2, 2)
    t = n - k
    return Clip(frames, starts, np.zeros(t, np.int64), np.zeros(t, np.float32), 0)


@given(k=st.integers(1, 5), length=st.integers(1, 8), data=st.data())
def test_stacked_equals_stacking_frame_by_frame_across_episode_starts(k, length, data):
    n = length + k
    starts = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    clip = image_clip(starts, k)
    stacked = clip.stacked()
    assert stacked.shape == (length + 1, k, 2, 2)
    assert stacked.dtype == np.uint8
    np.testing.assert_array_equal(stacked, naive_stacks(clip))


def test_a_start_hides_the_frames_before_it_and_nothing_after():
    clip = image_clip(np.array([False, False, True, False, False]), k=3)
    seen = clip.stacked().any(axis=(2, 3))
    np.testing.assert_array_equal(seen, [[False, False, True], [False, True, True], [True] * 3])


def test_vectors_are_not_stacked(make_clip):
    clip = make_clip()
    np.testing.assert_array_equal(clip.stacked(), clip.observations)
    assert clip.frame_stack == 1


WRONG = {
    "observations of another dtype": {"observations": np.zeros((6, 3))},
    "vectors without the last one": {
        "observations": np.zeros((5, 3), np.float32),
        "starts": np.zeros(5, np.bool_),
    },
    "one vector too many": {
        "observations": np.zeros((7, 3), np.float32),
        "starts": np.zeros(7, np.bool_),
    },
    "starts of another length": {"starts": np.zeros(5, np.bool_)},
    "starts that are numbers": {"starts": np.zeros(6, np.int64)},
    "actions of another dtype": {"actions": np.zeros(5, np.int32)},
    "rewards of another length": {"true_rewards": np.zeros(4, np.float32)},
    "rewards in double precision": {"true_rewards": np.zeros(5)},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_clip_refuses(make_clip, change):
    with pytest.raises(ValueError, match=r"expected|need"):
        dataclasses.replace(make_clip(length=5), **change)


def test_a_label_refuses_an_answer_that_is_none():
    with pytest.raises(ValueError, match="expected one of left, right, equal, incomparable"):
        Label("id", "query", "me", "maybe", 0.0, 0.0, "clip")  # type: ignore[arg-type]


def test_a_clips_id_depends_on_its_content_alone(make_clip):
    clip = make_clip(seed=1)
    assert clip.id == make_clip(seed=1).id == dataclasses.replace(clip, env_step=99).id
    changed = clip.true_rewards.copy()
    changed[-1] += 1
    assert clip.id != dataclasses.replace(clip, true_rewards=changed).id
    assert clip.id != make_clip(seed=2).id


IDS = """
import numpy as np
from prefrl.types import Clip, Query
clip = Clip(np.arange(12, dtype=np.float32).reshape(6, 2), np.zeros(6, bool),
            np.arange(5), np.ones(5, np.float32), 0)
print(clip.id, Query(clip.id, "b").id, Query(clip.id, "b", repeat_of="c").id)
"""


def test_ids_are_equal_in_interpreters_with_different_hash_seeds(run_python):
    printed = [run_python(IDS, PYTHONHASHSEED=seed) for seed in ("1", "2")]
    assert printed[0].returncode == 0, printed[0].stderr
    assert printed[0].stdout == printed[1].stdout
    assert len(set(printed[0].stdout.split())) == 3


def test_a_repeat_is_a_query_of_its_own():
    query = Query("a", "b", env_step=3)
    assert query.id == Query("a", "b", env_step=7).id
    assert query.id != Query("a", "b", repeat_of=query.id).id


@given(st.integers(1, 100_000))
def test_so_many_clips_make_that_many_pairs_and_one_fewer_do_not(pairs):
    n = clips_for(pairs)
    assert (n - 1) * (n - 2) // 2 < pairs <= n * (n - 1) // 2


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4, 4, 1), np.uint8), np.zeros((3, 4, 4, 3)),
        np.zeros((1, 4, 4, 3), np.uint8), np.zeros((3, 0, 4, 3), np.uint8),
    ],
    ids=["dimensions", "grey", "fractions", "too short", "empty"],
)  # fmt: skip
def test_a_film_has_frames_of_bytes_in_three_colours(frames):
    with pytest.raises(ValueError, match="frames: expected"):
        Film(frames, 15.0)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_film_has_a_speed(speed):
    with pytest.raises(ValueError, match="frames_per_second: expected"):
        Film(np.zeros((2, 4, 4, 3), np.uint8), speed)
