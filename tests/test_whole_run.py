"""What `make bench` computes of a whole run, where it can be said without walking through it."""

import pytest
from whole_run import Speeds, round_seconds, rounds, whole_run

from prefrl.recipes import RECIPES
from prefrl.reward.schedule import LabelSchedule

PONG = RECIPES["pong"].config


def test_a_run_whose_rounds_take_no_time_is_as_fast_as_its_policy_alone():
    assert whole_run(PONG, Speeds(500, 1000, 0, 0)) == pytest.approx(1000)


def test_a_run_whose_rounds_are_slow_takes_the_time_of_all_of_them_and_of_the_steps_around():
    slow = Speeds(1000, 1000, read_s=1, once_s=2)
    schedule = LabelSchedule.from_config(PONG)
    first, last = (schedule.first_step_with(rounds(PONG)[i]) for i in (0, -1))
    around_s = (first + PONG.total_timesteps - last) / 1000
    seconds = sum(round_seconds(PONG, slow, labels) for labels in rounds(PONG)) + around_s
    assert whole_run(PONG, slow) == pytest.approx(PONG.total_timesteps / seconds)


def test_a_slower_policy_beside_its_rounds_costs_the_share_of_time_that_they_take():
    quick = Speeds(500, 1000, read_s=0, once_s=1)
    lost_s = (len(rounds(PONG)) - 1) * 0.5  # the last is waited for: nothing runs beside it
    seconds = PONG.total_timesteps / 1000 + lost_s + 1
    assert whole_run(PONG, quick) == pytest.approx(PONG.total_timesteps / seconds)


def test_pongs_last_round_reads_all_labels_of_the_ring_twice():
    assert rounds(PONG)[-1] == PONG.label.budget
    assert round_seconds(PONG, Speeds(1, 1, read_s=1, once_s=0), PONG.label.budget) == 2 * 3000
