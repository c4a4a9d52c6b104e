import itertools

import numpy as np
import pytest

from prefrl.reward.inputs import InputSpec
from prefrl.types import Clip, TaskSpaces

B, SIDE, STACK, N_ACTIONS, ACTION_SIZE, D = 6, 5, 3, 4, 2, 3
NAMES = ("observation", "action", "next_observation")
SELECTIONS = [
    selection for n in (1, 2, 3) for selection in itertools.combinations(NAMES, n)
]  # every subset that is not empty


def some_steps(image: bool, discrete: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations, actions and next observations, all different."""
    rng = np.random.default_rng(0)
    shape = (B, STACK, SIDE, SIDE) if image else (B, D)
    drawn = [rng.integers(1, 256, shape) for _ in range(2)]
    first, second = (x.astype(np.uint8 if image else np.float32) for x in drawn)
    actions = rng.integers(0, N_ACTIONS, B)
    if not discrete:
        actions = rng.normal(size=(B, ACTION_SIZE)).astype(np.float32)
    return first, actions, second


def make_spec(image: bool, discrete: bool, inputs: tuple[str, ...]) -> InputSpec:
    shape = (STACK, SIDE, SIDE) if image else (D,)
    return InputSpec(
        TaskSpaces(shape, N_ACTIONS if discrete else None, 0 if discrete else ACTION_SIZE), inputs
    )


def one_hot(actions: np.ndarray) -> np.ndarray:
    return (actions[:, None] == np.arange(N_ACTIONS)).astype(np.float32)


@pytest.mark.parametrize("discrete", [True, False], ids=["discrete", "box"])
@pytest.mark.parametrize("inputs", SELECTIONS, ids="+".join)
def test_vectors_are_those_parts_of_a_step_that_were_chosen(inputs, discrete):
    steps = some_steps(False, discrete)
    spec = make_spec(False, discrete, inputs)
    seen = spec.assemble(*steps)
    action = one_hot(steps[1]) if discrete else steps[1]
    # Observations first: they are normalised, actions are not.
    parts = {"observation": steps[0], "next_observation": steps[2], "action": action}
    expected = np.concatenate([part for name, part in parts.items() if name in inputs], axis=1)
    assert seen.images is None
    assert seen.vectors.dtype == np.float32
    np.testing.assert_array_equal(seen.vectors, expected)
    assert spec.vector_size == expected.shape[1]
    assert spec.observation_size == D * (("observation" in inputs) + ("next_observation" in inputs))


@pytest.mark.parametrize("discrete", [True, False], ids=["discrete", "box"])
@pytest.mark.parametrize("inputs", SELECTIONS[3:], ids="+".join)
def test_images_are_those_parts_of_a_step_that_were_chosen(inputs, discrete):
    observations, actions, next_observations = some_steps(True, discrete)
    spec = make_spec(True, discrete, inputs)
    seen = spec.assemble(observations, actions, next_observations)
    if "next_observation" not in inputs:
        expected = observations
    elif "observation" not in inputs:
        expected = next_observations
    else:  # the stack, and the one frame that is new
        expected = np.concatenate([observations, next_observations[:, 2:]], axis=1)
    assert seen.images.dtype == np.uint8
    np.testing.assert_array_equal(seen.images, expected)
    assert spec.channels == expected.shape[1]
    action = one_hot(actions) if discrete else actions
    expected_vectors = action if "action" in inputs else np.zeros((B, 0))
    np.testing.assert_array_equal(seen.vectors, expected_vectors)
    assert (spec.vector_size, spec.observation_size) == (expected_vectors.shape[1], 0)


@pytest.mark.parametrize("inputs", [("observation",), ("next_observation",)], ids="+".join)
def test_images_alone_need_no_vector(inputs):
    seen = make_spec(True, True, inputs).assemble(*some_steps(True, True))
    assert seen.vectors.shape == (B, 0)
    assert seen.images.shape == (B, STACK, SIDE, SIDE)
    assert len(seen) == B


def test_a_slice_takes_images_and_vectors_of_the_same_steps():
    seen = make_spec(True, True, NAMES).assemble(*some_steps(True, True))
    some = seen[2:4]
    assert len(some) == 2
    np.testing.assert_array_equal(some.images, seen.images[2:4])
    np.testing.assert_array_equal(some.vectors, seen.vectors[2:4])


@pytest.mark.parametrize("inputs", SELECTIONS[3:], ids="+".join)
@pytest.mark.parametrize("image", [True, False], ids=["images", "vectors"])
def test_a_clips_steps_look_as_the_policys_arrays_do(image, inputs):
    rng = np.random.default_rng(1)
    length, surplus = 7, STACK if image else 1
    clips = []
    for _ in range(2):
        starts = np.zeros(length + surplus, np.bool_)
        starts[surplus + 1] = True  # the stack is cleared in the middle
        frames = rng.integers(1, 256, (length + surplus, SIDE, SIDE), np.uint8)
        vectors = rng.normal(size=(length + surplus, D)).astype(np.float32)
        clips.append(
            Clip(
                frames if image else vectors,
                starts,
                rng.integers(0, N_ACTIONS, length),
                np.zeros(length, np.float32),
                0,
            )
        )
    spec = make_spec(image, True, inputs)
    seen = spec.of_clips(clips)
    assert len(seen) == 2 * length
    for c, clip in enumerate(clips):
        stacked = clip.stacked()
        for t in range(length):  # one step at a time, as an environment gives them
            step = spec.assemble(
                stacked[t : t + 1], clip.actions[t : t + 1], stacked[t + 1 : t + 2]
            )
            row = slice(c * length + t, c * length + t + 1)
            np.testing.assert_array_equal(seen[row].vectors, step.vectors)
            if image:
                np.testing.assert_array_equal(seen[row].images, step.images)
