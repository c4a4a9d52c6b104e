import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrl.config import Config, LabelConfig, PolicyConfig
from prefrl.reward.schedule import NEVER, LabelSchedule

DECAY = LabelSchedule(initial=50, budget=200, end_step=80_000, half_rate_step=1e5, kind="decay")
CONSTANT = LabelSchedule(
    initial=50, budget=200, end_step=80_000, half_rate_step=1e5, kind="constant"
)

schedules = st.builds(
    lambda initial, more, end, half, kind: LabelSchedule(initial, initial + more, end, half, kind),
    st.integers(0, 100), st.integers(0, 300), st.integers(1, 10_000), st.floats(1, 1e6),
    st.sampled_from(["decay", "constant"]),
)  # fmt: skip
started = st.builds(LabelSchedule.starting_at, schedules, st.integers(0, 12_000))


@given(schedules, st.integers(0, 12_000), st.integers(0, 12_000))
def test_steps_before_the_policy_learns_make_no_label_due(schedule, start, step):
    later = schedule.starting_at(start)
    if step < start:
        assert later.due(step) == schedule.initial
    assert later.due(start + schedule.end_step) == schedule.budget
    assert later.due(step) <= max(schedule.initial, schedule.due(step))
    assert schedule.starting_at(NEVER).due(step) == schedule.initial


@given(schedules)
def test_the_initial_labels_are_due_at_once_and_all_at_the_end(schedule):
    assert schedule.due(0) == schedule.initial
    assert schedule.due(schedule.end_step) == schedule.budget
    assert schedule.due(10 * schedule.end_step) == schedule.budget


@given(started, st.lists(st.integers(0, 12_000), min_size=2))
def test_what_is_due_never_falls(schedule, steps):
    due = [schedule.due(step) for step in sorted(steps)]
    assert due == sorted(due)


def test_decay_follows_the_integral_of_the_papers_rate():
    for step in (0, 1_000, 10_000, 40_000, 79_999):
        share = math.log(1 + step / 1e5) / math.log(1 + 80_000 / 1e5)
        assert DECAY.due(step) == math.floor(50 + 150 * share)
    assert [DECAY.due(step) for step in (10_000, 40_000, 60_000)] == [74, 135, 169]


def test_the_rate_has_halved_at_the_half_rate_step():
    schedule = LabelSchedule(0, 1_000_000, 300_000, 100_000, "decay")
    first = schedule.due(1_000) - schedule.due(0)
    at_half = schedule.due(100_500) - schedule.due(99_500)
    assert at_half / first == pytest.approx(0.5, abs=0.01)


def test_a_constant_schedule_is_linear():
    assert [CONSTANT.due(step) for step in (0, 20_000, 40_000, 60_000)] == [50, 87, 125, 162]


@given(started, st.integers(0, 400))
def test_the_first_step_with_so_many_labels_is_the_first(schedule, labels):
    labels = min(labels, schedule.budget)
    step = schedule.first_step_with(labels)
    assert schedule.due(step) >= labels
    assert step == 0 or schedule.due(step - 1) < labels


@given(started, st.integers(0, 400), st.integers(1, 50))
def test_a_policy_runs_ahead_by_a_round_and_no_more(schedule, labels, round_labels):
    labels = min(labels, schedule.budget)
    pause = schedule.pause_step(labels, round_labels)
    if labels == schedule.budget:
        assert pause == NEVER
        return
    assert pause == 0 or schedule.due(pause - 1) <= labels + round_labels
    # Where it pauses a label is due, so the reward side has something to do: no deadlock.
    assert schedule.due(pause) > labels


@given(started, st.integers(1, 20), st.integers(1, 50))
def test_the_last_round_is_waited_for(schedule, missing, round_labels):
    labels = schedule.budget - missing
    if labels < schedule.initial or missing > round_labels:
        return
    assert schedule.pause_step(labels, round_labels) == schedule.first_step_with(schedule.budget)


@given(st.integers(0, 300), st.sampled_from([0.5, 0.9, 1.0]))
def test_the_last_rollout_waits_for_the_last_label(random_steps, schedule_end):
    config = Config(
        total_timesteps=1000, policy=PolicyConfig(n_envs=4, n_steps=5),
        label=LabelConfig(budget=40, round_labels=10, schedule_end=schedule_end),
    )  # fmt: skip
    schedule = LabelSchedule.from_config(config).starting_at(random_steps)
    rollout = 4 * 5
    last_begins = random_steps + ((1000 - random_steps) // rollout - 1) * rollout
    assert all(schedule.pause_step(taught, 10) <= last_begins for taught in range(40))


def test_a_runs_schedule_comes_from_its_settings():
    config = Config(
        total_timesteps=100_000,
        label=LabelConfig(
            budget=400, initial_fraction=0.25, schedule="constant", schedule_end=0.5,
            half_rate_fraction=0.1,
        ),
    )  # fmt: skip
    assert LabelSchedule.from_config(config) == LabelSchedule(100, 400, 50_000, 1e4, "constant")
