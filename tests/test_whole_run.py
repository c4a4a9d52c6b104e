"""What `make bench` computes of a whole run."""

from dataclasses import replace

import pytest
from whole_run import Speeds, random_steps, round_seconds, whole_run

from prefrl.config import Config
from prefrl.recipes import RECIPES
from prefrl.reward.schedule import LabelSchedule

PONG = RECIPES["pong"].config
TICK_S = 0.25


def watched(config: Config, speeds: Speeds) -> float:
    """The same, tick by tick: what policy and reward process do when, by the run's own schedule."""
    start = round(random_steps(config))
    schedule = LabelSchedule.from_config(config).starting_at(start)
    step, asked, taught = float(start), config.initial_labels, config.initial_labels
    now = trains_for_s = 0.0
    while step < config.total_timesteps:
        if trains_for_s <= 0:
            taught = asked
            if asked < config.label.budget and schedule.due(int(step)) > asked:
                asked += config.label.round_labels
                trains_for_s = round_seconds(config, speeds, asked)
        waits = step >= schedule.pause_step(taught, config.label.round_labels)
        if not waits:
            step += TICK_S * (speeds.in_a_round if trains_for_s > 0 else speeds.alone)
        trains_for_s -= TICK_S * (speeds.waiting if waits else 1)
        now += TICK_S
    return (config.total_timesteps - start) / now


@pytest.mark.parametrize("game", ["pong", "breakout"])
@pytest.mark.parametrize(
    "speeds",
    [
        Speeds(500, 1000, read_s=0, once_s=1, waiting=1),  # the policy is slower beside a round
        Speeds(800, 900, read_s=0.012, once_s=4, waiting=1.5),  # as on two cores
        Speeds(1000, 1000, read_s=0.5, once_s=2, waiting=2),  # each round is waited for
    ],
)
def test_a_run_takes_as_long_as_one_that_is_watched_tick_by_tick(game, speeds):
    config = RECIPES[game].config
    assert whole_run(config, speeds) == pytest.approx(watched(config, speeds), rel=0.01)


def test_a_run_whose_rounds_take_no_time_is_as_fast_as_its_policy_alone():
    assert whole_run(PONG, Speeds(500, 1000, 0, 0, 1)) == pytest.approx(1000)


def test_random_steps_are_those_of_a_real_run():
    made = 99_200  # by seed 8; see `pong_5500_seed_8.csv`
    assert random_steps(PONG) == pytest.approx(made, rel=0.05)


def test_pongs_last_round_reads_all_labels_of_the_ring_twice():
    seconds = round_seconds(PONG, Speeds(1, 1, read_s=1, once_s=0, waiting=1), PONG.label.budget)
    assert seconds == 2 * 3000


def test_labels_that_are_due_in_fewer_steps_hold_a_run_up():
    speeds = Speeds(900, 900, read_s=0.012, once_s=4, waiting=1)
    longer = replace(PONG, total_timesteps=4 * PONG.total_timesteps)
    assert whole_run(longer, speeds) == pytest.approx(900)
    assert whole_run(PONG, speeds) < 0.95 * 900
