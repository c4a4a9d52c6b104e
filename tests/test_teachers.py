import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from prefrl.config import Config
from prefrl.config_file import from_dict
from prefrl.labels.oracle import Oracle
from prefrl.labels.teachers import Teacher, bradley_terry, total
from prefrl.runs.pieces import make_labeler
from prefrl.types import Query

REWARDS = npst.arrays(np.float32, st.integers(1, 120), elements=st.floats(-1e6, 1e6, width=32))
LEFT, RIGHT = np.array([0.0, 1.0], np.float32), np.array([0.5, 0.0], np.float32)


def answers(teacher, left, right, n=4000):
    rng = np.random.default_rng(0)
    return [teacher.judge(left, right, rng) for _ in range(n)]


def share(teacher, answer="left", left=LEFT, right=RIGHT):
    given = answers(teacher, left, right)
    return given.count(answer) / len(given)


@given(left=REWARDS, right=REWARDS)
def test_the_default_teacher_compares_plain_sums_to_the_last_bit(left, right):
    sums = [float(rewards.sum(dtype=np.float64)) for rewards in (left, right)]
    assert [total(left), total(right)] == sums
    expected = "equal" if sums[0] == sums[1] else "left" if sums[0] > sums[1] else "right"
    assert Teacher().judge(left, right, np.random.default_rng(0)) == expected


def test_the_default_teacher_draws_one_number_as_the_oracle_always_did():
    mine, other = np.random.default_rng(3), np.random.default_rng(3)
    Teacher().judge(LEFT, RIGHT, mine)
    other.random()
    assert mine.random() == other.random()


@pytest.mark.parametrize("rationality", [0.0, 0.5, 1.0, 3.0])
def test_rationality_gives_bradley_terry_frequencies(rationality):
    expected = math.exp(rationality * 1.0) / (
        math.exp(rationality * 1.0) + math.exp(rationality * 0.5)
    )
    assert bradley_terry(1.0, 0.5, rationality) == pytest.approx(expected)
    assert share(Teacher(rationality=rationality)) == pytest.approx(expected, abs=0.025)


def test_without_rationality_every_preference_is_a_guess():
    assert share(Teacher(rationality=0.0), left=100 * LEFT) == pytest.approx(0.5, abs=0.025)


@given(left=st.floats(-1e6, 1e6), right=st.floats(-1e6, 1e6), rationality=st.floats(0, 1e9))
def test_swapping_the_clips_swaps_the_probability_and_nothing_overflows(left, right, rationality):
    probability = bradley_terry(left, right, rationality)
    assert 0 <= probability <= 1
    assert probability + bradley_terry(right, left, rationality) == pytest.approx(1)


@pytest.mark.parametrize("myopia", [1.0, 0.9, 0.5, 0.0])
def test_myopia_weighs_a_step_by_gamma_to_the_power_of_the_steps_after_it(myopia):
    rewards = np.array([3.0, -2.0, 5.0, 7.0], np.float32)
    expected = sum(myopia ** (3 - t) * float(r) for t, r in enumerate(rewards))
    assert total(rewards, myopia) == pytest.approx(expected)


def test_a_myopic_teacher_prefers_what_comes_late():
    early, late = np.array([3.0, 0.0, 0.0], np.float32), np.array([0.0, 0.0, 1.0], np.float32)
    rng = np.random.default_rng(0)
    assert Teacher().judge(early, late, rng) == "left"
    assert Teacher(myopia=0.5).judge(early, late, rng) == "right"  # 0.75 against 1
    expected = bradley_terry(0.75, 1.0, 2.0)
    myopic = Teacher(rationality=2.0, myopia=0.5)
    assert share(myopic, left=early, right=late) == pytest.approx(expected, abs=0.025)


def test_mistakes_turn_preferences_round_at_their_rate_on_top_of_rationality():
    assert share(Teacher(mistake_probability=0.2)) == pytest.approx(0.8, abs=0.025)
    right = bradley_terry(1.0, 0.5, 2.0)
    both = Teacher(rationality=2.0, mistake_probability=0.2)
    assert share(both) == pytest.approx(0.8 * right + 0.2 * (1 - right), abs=0.025)


def test_mistakes_leave_equal_and_incomparable_alone():
    wrong = {"mistake_probability": 0.9}
    assert set(answers(Teacher(**wrong, equal_threshold=1.0), LEFT, RIGHT, 50)) == {"equal"}
    assert set(answers(Teacher(**wrong, skip_threshold=2.0), LEFT, RIGHT, 50)) == {"incomparable"}


@pytest.mark.parametrize(
    ("threshold", "answer"), [(None, "left"), (1.0, "left"), (1.01, "incomparable")]
)
def test_a_pair_is_skipped_where_the_better_sum_is_below_the_threshold(threshold, answer):
    teacher = Teacher(skip_threshold=threshold)
    assert set(answers(teacher, LEFT, RIGHT, 20)) == {answer}
    mirrored = {"left": "right"}.get(answer, answer)
    assert set(answers(teacher, RIGHT, LEFT, 20)) == {mirrored}


@pytest.mark.parametrize(("threshold", "answer"), [(0.0, "left"), (0.5, "left"), (0.51, "equal")])
def test_sums_closer_than_the_threshold_are_equal(threshold, answer):
    teacher = Teacher(equal_threshold=threshold)
    assert set(answers(teacher, LEFT, RIGHT, 20)) == {answer}


def test_thresholds_look_at_plain_sums_whatever_the_myopia():
    early, late = np.array([8.0, 0.0], np.float32), np.array([0.0, 8.0], np.float32)
    teacher = Teacher(myopia=0.01, equal_threshold=0.1, skip_threshold=7.0)
    assert set(answers(teacher, early, late, 20)) == {"equal"}
    assert set(answers(teacher, early, 0 * late, 20)) == {"left"}


def test_what_is_skipped_is_not_called_equal():
    teacher = Teacher(skip_threshold=2.0, equal_threshold=1.0)
    assert set(answers(teacher, LEFT, RIGHT, 20)) == {"incomparable"}


def test_the_oracle_of_a_run_judges_as_its_settings_say(make_clip):
    settings = {
        "rationality": 2.0, "myopia": 0.5, "mistake_probability": 0.25, "skip_threshold": -1.0,
        "equal_threshold": 0.125,
    }  # fmt: skip
    config = from_dict(Config(), {"label": settings})
    left, right = make_clip(1, rewards=[3.0, 0.0]), make_clip(2, rewards=[0.0, 1.0])
    query = Query(left.id, right.id)
    same = Oracle(np.random.default_rng((config.seed, 4)), Teacher(**settings))
    configured = make_labeler(config)
    for _ in range(50):
        one, other = (oracle.answer(query, left, right) for oracle in (configured, same))
        assert (one.answer, one.shown_left) == (other.answer, other.shown_left)
