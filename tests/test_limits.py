import math
from dataclasses import replace

import pytest

from prefrl.config import Config, ConfigError, EnvConfig
from prefrl.limits import check


def with_value(name: str, value: object) -> Config:
    part, _, setting = name.rpartition(".")
    if not part:
        return replace(Config(), **{setting: value})
    return replace(Config(), **{part: replace(getattr(Config(), part), **{setting: value})})


POSITIVE = [
    "total_timesteps", "evaluation_episodes", "policy.n_envs", "policy.n_steps",
    "policy.batch_size", "policy.n_epochs", "env.clip_length", "env.frame_stack", "env.image_size",
    "predictor.members", "predictor.batch_size", "predictor.ring", "label.round_labels",
    "label.candidates", "label.queue_size",
]  # fmt: skip
REFUSED = [
    *((name, value) for name in POSITIVE for value in (0, -1)),
    ("policy.clip_fraction", 0.0), ("policy.clip_fraction", 1.01),
    ("label.initial_fraction", 0.0), ("label.initial_fraction", 1.5),
    ("label.schedule_end", 0.0), ("label.schedule_end", 1.1), ("label.schedule_end", math.nan),
    ("label.half_rate_fraction", 0.0),
    ("predictor.dropout", 1.0), ("predictor.dropout", -0.1), ("predictor.dropout", math.nan),
    ("predictor.error_rate", 1.0), ("label.mistake_probability", 1.1),
    ("label.mistake_probability", -0.5), ("label.rationality", -1.0), ("label.myopia", 1.01),
    ("label.equal_threshold", -0.1), ("label.skip_threshold", math.nan),
    ("predictor.inputs", ()), ("seed", -1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=str)
def test_a_value_that_cannot_work_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f"^{name}: "):
        check(with_value(name, value))


# Each of these would take more memory than a machine has.
TOO_LARGE = [
    ("policy.net_arch", (10**6, 10**6)), ("predictor.hidden", (4097,)),
    ("predictor.hidden", (8,) * 17), ("predictor.members", 10**6), ("policy.n_steps", 10**9),
    ("policy.n_envs", 10**6), ("env.frame_stack", 10**6), ("env.image_size", 10**6),
    ("env.clip_length", 10**9), ("policy.keypoints", 65), ("predictor.keypoints", 65),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), TOO_LARGE, ids=str)
def test_a_value_that_no_machine_has_the_memory_for_is_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        check(with_value(name, value))


# Each of these passes and then fails, hangs or means something else in the middle of a run.
CANNOT_WORK_EITHER = [
    ("label.pool_size", 1),  # no pair can be made of one clip
    ("env.time_limit", -1),  # an assertion of Gymnasium's
    ("predictor.normalise_over_clips", 0),  # all clips, not none
    ("predictor.deviation_floor", 0.0),  # 0 / 0 where the reward is constant
    ("predictor.dropout", 0.999),  # rounded to 256 of 256: a division by zero
    ("label.half_rate_fraction", math.inf),  # 0 / 0 in the schedule
    ("policy.ent_coef", math.nan), ("policy.ent_coef", -0.1), ("policy.vf_coef", math.inf),
    ("policy.learning_rate", math.inf),
    ("env.termination_penalty", math.nan),
    ("env.time_limit", 24),  # no episode is as long as a clip
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), CANNOT_WORK_EITHER, ids=[n for n, _ in CANNOT_WORK_EITHER]
)
def test_a_value_that_fails_in_the_middle_of_a_run_is_refused_at_its_start(name, value):
    with pytest.raises(ConfigError, match=name):
        check(with_value(name, value))


def test_values_at_the_edge_are_taken():
    for name, value in [
        ("policy.clip_fraction", 1.0), ("label.initial_fraction", 1.0), ("label.schedule_end", 1.0),
        ("label.half_rate_fraction", 50.0), ("predictor.dropout", 0.0),
        ("predictor.error_rate", 0.0), ("label.mistake_probability", 0.99), ("seed", 0),
        ("policy.n_envs", 1),
        ("predictor.members", 1), ("label.round_labels", 1),
    ]:  # fmt: skip
        check(with_value(name, value))


def test_rewards_below_zero_and_ends_that_show_do_not_go_together():
    config = replace(Config(), predictor=replace(Config().predictor, target_mean=-1.0))
    check(config)
    with pytest.raises(ConfigError, match="pay to end early"):
        check(replace(config, env=replace(config.env, terminations="keep")))


def test_a_penalty_wants_a_predictor_that_sees_what_came_before_the_end():
    config = Config(env=EnvConfig(terminations="penalty"))
    check(config)
    blind = replace(config.predictor, inputs=("action", "next_observation"))
    with pytest.raises(ConfigError, match=r"add observation to --predictor\.inputs"):
        check(replace(config, predictor=blind))
    check(replace(config, predictor=blind, reward="true"))
    check(replace(config, predictor=replace(blind, inputs=("action",))))


def test_ppo_needs_two_steps_a_rollout_and_a2c_one():
    tiny = replace(Config().policy, n_envs=1, n_steps=1)
    with pytest.raises(ConfigError, match="PPO needs at least 2 steps"):
        check(replace(Config(), policy=tiny))
    check(replace(Config(), policy=replace(tiny, algo="a2c")))
