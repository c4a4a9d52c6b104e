from dataclasses import replace

import numpy as np
import pytest

from prefrl.config import Config, ConfigError, EnvConfig
from prefrl.limits import check
from prefrl.policy.environment import task_spaces
from prefrl.recipes import RECIPES, for_algo, for_unknown, refuse_unusable, settings_of
from prefrl.reward.schedule import LabelSchedule
from prefrl.types import TaskSpaces

VECTOR, IMAGE = TaskSpaces((3,), 2, 0), TaskSpaces((4, 84, 84), 6, 0)
PHYSICS = TaskSpaces((3,), None, 1)
ENV = EnvConfig(id="My/Own-v0", import_modules=("mine",))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_can_run(name):
    config = RECIPES[name].config
    check(config)
    spaces = task_spaces(config.env)
    refuse_unusable(config, config, spaces)
    # First clips, then at least some rollouts of the policy.
    rollout = config.policy.n_envs * config.policy.n_steps
    assert config.total_timesteps > config.random_clips(0) * config.env.clip_length + 10 * rollout
    assert config.initial_labels >= 10


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is(name):
    assert RECIPES[name].task
    assert RECIPES[name].status
    assert name == name.lower()


def test_settings_of_an_unknown_task_go_by_its_shape():
    pixels, numbers = for_unknown(ENV, IMAGE, None), for_unknown(ENV, VECTOR, None)
    assert pixels.predictor == RECIPES["pong"].config.predictor
    assert pixels.policy == RECIPES["pong"].config.policy
    assert numbers.predictor == Config().predictor
    for config in (pixels, numbers):
        check(config)
        assert (config.env.id, config.env.import_modules) == ("My/Own-v0", ("mine",))
        assert config.env.clip_length == 25


@pytest.mark.parametrize(
    ("decision_s", "length"),
    [(0.05, 30), (0.02, 75), (0.008, 100), (1.0, 2), (10.0, 2), (None, 25)],
)
def test_a_clip_of_physics_lasts_one_and_a_half_seconds(decision_s, length):
    assert for_unknown(ENV, PHYSICS, decision_s).env.clip_length == length


def test_another_algorithm_brings_the_settings_that_go_with_it():
    base = RECIPES["pong"].config
    a2c = for_algo(base, "a2c")
    check(a2c)
    policy = a2c.policy
    assert (policy.algo, policy.n_steps, policy.gae_lambda) == ("a2c", 5, 1.0)
    assert (policy.learning_rate, policy.learning_rate_end) == (7e-4, 0.0)
    assert replace(a2c, policy=base.policy, total_timesteps=base.total_timesteps) == base


@pytest.mark.parametrize(
    ("name", "steps"), [("pong", 3_500_000), ("breakout", 3_500_000), ("pendulum", 50_000)]
)
def test_a2c_takes_in_pong_as_many_steps_as_in_other_games(name, steps):
    assert for_algo(RECIPES[name].config, "a2c").total_timesteps == steps


def changed(config: Config, name: str, value: object) -> Config:
    part, setting = name.split(".")
    return replace(config, **{part: replace(getattr(config, part), **{setting: value})})


# setting, another value, the task, and a change without which the setting has no effect
CASES = [
    ("env.atari_backend", "sb3", IMAGE, {}),
    ("env.atari_frame_skip", 3, IMAGE, {}),
    ("env.atari_noop_max", 3, IMAGE, {}),
    ("env.image_size", 64, VECTOR, {}),
    ("env.frame_stack", 2, VECTOR, {}),
    ("predictor.dropout", 0.2, VECTOR, {}),
    ("predictor.dropout_masks", "independent", VECTOR, {}),
    ("predictor.batch_norm", False, VECTOR, {}),
    ("predictor.hidden", (32,), IMAGE, {}),
    ("policy.net_arch", (32,), IMAGE, {}),
    ("policy.activation", "relu", IMAGE, {"predictor.keypoints": 2}),
    ("policy.keypoints", 2, VECTOR, {}),
    ("predictor.keypoints", 2, VECTOR, {}),
    ("predictor.dropout", 0.2, IMAGE, {"predictor.keypoints": 2}),
    ("predictor.batch_norm", False, IMAGE, {"predictor.keypoints": 2}),
    ("predictor.dropout_masks", "independent", IMAGE, {"predictor.dropout": 0.0}),
    ("policy.standard_pixels", False, VECTOR, {}),
    ("predictor.standard_pixels", False, VECTOR, {}),
    ("policy.standard_pixels", False, IMAGE, {"policy.keypoints": 2}),
    ("predictor.standard_pixels", False, IMAGE, {"predictor.keypoints": 2}),
    ("policy.batch_size", 7, VECTOR, {"policy.algo": "a2c"}),
    ("policy.n_epochs", 7, VECTOR, {"policy.algo": "a2c"}),
    ("policy.clip_range", 0.7, VECTOR, {"policy.algo": "a2c"}),
    ("policy.use_sde", True, VECTOR, {}),
    ("env.termination_penalty", 1.0, VECTOR, {}),
    ("env.atari_episodes", "life", IMAGE, {"env.id": "ALE/Breakout-v5"}),
    ("label.candidates", 3, VECTOR, {"label.query_selection": "random"}),
    ("label.half_rate_fraction", 0.3, VECTOR, {"label.schedule": "constant"}),
]


@pytest.mark.parametrize(("name", "value", "task", "also"), CASES, ids=[case[0] for case in CASES])
def test_a_setting_without_effect_is_refused_by_its_option(name, value, task, also):
    base = replace(Config(), env=ENV)
    for other, other_value in also.items():
        base = changed(base, other, other_value)
    refuse_unusable(base, base, task)
    with pytest.raises(ConfigError, match=f"^--{name.replace('_', '-')} "):
        refuse_unusable(changed(base, name, value), base, task)


USABLE = [
    ("env.atari_frame_skip", 3, IMAGE, {"env.id": "ALE/Pong-v5"}),
    ("predictor.dropout", 0.2, IMAGE, {}),
    ("predictor.hidden", (32,), VECTOR, {}),
    ("predictor.hidden", (32,), IMAGE, {"predictor.keypoints": 2}),
    ("policy.net_arch", (32,), IMAGE, {"policy.keypoints": 2}),
    ("predictor.dropout", 0.2, IMAGE, {"policy.keypoints": 2}),
    ("policy.standard_pixels", False, IMAGE, {"predictor.keypoints": 2}),
    ("predictor.standard_pixels", False, IMAGE, {"policy.keypoints": 2}),
    ("policy.clip_range", 0.7, VECTOR, {}),
    ("policy.use_sde", True, PHYSICS, {}),
    ("env.termination_penalty", 1.0, VECTOR, {"env.terminations": "penalty"}),
    ("env.atari_episodes", "life", IMAGE, {"env.id": "ALE/Qbert-v5", "env.terminations": "keep"}),
    ("label.candidates", 3, VECTOR, {}),
    ("label.half_rate_fraction", 0.3, VECTOR, {}),
    ("seed", 3, VECTOR, {}),
]


@pytest.mark.parametrize(("name", "value", "task", "also"), USABLE, ids=[c[0] for c in USABLE])
def test_a_setting_with_effect_is_taken(name, value, task, also):
    config = replace(Config(), env=ENV)
    for other, other_value in also.items():
        config = changed(config, other, other_value)
    after = replace(config, seed=3) if name == "seed" else changed(config, name, value)
    refuse_unusable(after, config, task)


# --- the paper's own settings -------------------------------------------------------------------

GAMES = ["beamrider", "breakout", "enduro", "pong", "qbert", "seaquest", "spaceinvaders"]

# The facts of the method, Atari: Christiano et al. 2017, sections 2.2 and 3.1.2, appendix A.
PAPERS_FACTS = {
    "policy.algo": "a2c",
    "policy.n_envs": 16,
    "policy.n_steps": 5,
    "policy.gamma": 0.99,
    "policy.ent_coef": 0.01,
    "policy.ent_coef_end": 0.01,
    "policy.learning_rate": 7e-4,
    "policy.gae_lambda": 1.0,
    "policy.standard_pixels": False,
    "predictor.standard_pixels": False,
    "predictor.inputs": ("observation",),
    "predictor.members": 3,
    "predictor.dropout": 0.5,
    "predictor.batch_norm": True,
    "predictor.error_rate": 0.1,
    "predictor.target_deviation": 0.05,
    "predictor.target_mean": 0.0,
    "predictor.pretrain_epochs": 200,
    "predictor.ring": 3000,
    "predictor.l2_low_ratio": 1.1,
    "predictor.l2_high_ratio": 1.5,
    "label.budget": 5500,
    "label.schedule": "decay",
    "label.schedule_end": 1.0,
    "label.query_selection": "disagreement",
    "label.candidates": 10,
    "env.clip_length": 25,
    "env.image_size": 84,
    "env.frame_stack": 4,
    "env.atari_frame_skip": 4,
    "env.atari_noop_max": 30,
    "env.atari_score": "masked",
    "env.atari_episodes": "game",
    "env.atari_repeat_action_probability": 0.0,
    "env.clip_rewards": True,
    "total_timesteps": 50_000_000,
    "initial_labels": 500,
}


def value_of(config: Config, name: str) -> object:
    for part in name.split("."):
        config = getattr(config, part)
    return config


@pytest.mark.parametrize("game", GAMES)
def test_the_papers_recipe_is_the_papers_setting(game):
    config = settings_of(game, "paper")
    assert {name: value_of(config, name) for name in PAPERS_FACTS} == PAPERS_FACTS
    check(config)
    refuse_unusable(config, config, task_spaces(config.env))


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("recipe", ["fast", "paper"])
def test_the_oracle_sees_a_penalty_at_a_games_end_except_in_pong(game, recipe):
    env = settings_of(game, recipe).env
    assert env.terminations == ("hide" if game == "pong" else "penalty")
    # More than what a clip of clipped rewards is likely to hold.
    assert env.termination_penalty == 10.0


@pytest.mark.parametrize("task", ["pong", "enduro-alongside"])
def test_the_papers_learning_rate_would_reach_zero_at_80_million_steps(task):
    config = settings_of(task, "paper")
    first, last = config.policy.learning_rate, config.policy.learning_rate_end
    fall_per_step = (first - last) / config.total_timesteps
    assert first / fall_per_step == pytest.approx(80e6)


@pytest.mark.parametrize(("task", "labels"), [("pong", 5500), ("enduro-alongside", 1300)])
def test_the_papers_label_rate_is_proportional_to_5e6_by_t_plus_5e6(task, labels):
    config = settings_of(task, "paper")
    schedule = LabelSchedule.from_config(config)
    assert schedule.due(0) == 500
    assert schedule.due(config.total_timesteps) == labels
    steps = config.total_timesteps * np.array([0, 0.1, 0.3, 0.9])
    span = config.total_timesteps // 20
    rates = [schedule.due(int(t) + span) - schedule.due(int(t)) for t in steps]
    expected = np.log1p(span / (steps + 5e6))  # the integral of the rate over the span
    rounding = 2 / rates[0]
    np.testing.assert_allclose(np.array(rates) / rates[0], expected / expected[0], atol=rounding)


def test_the_papers_predictor_reads_about_a_label_in_ten_steps():
    config = settings_of("pong", "paper")
    rounds = range(config.initial_labels, config.label.budget, config.label.round_labels)
    in_rings = sum(min(labels, config.predictor.ring) for labels in rounds)
    labels_read = config.predictor.round_epochs * in_rings
    assert config.total_timesteps / labels_read == pytest.approx(10, rel=0.15)


def test_the_new_behaviour_takes_1300_labels_and_4_million_steps_of_the_same_settings():
    pong, alongside = settings_of("pong", "paper"), settings_of("enduro-alongside", "paper")
    assert (alongside.label.budget, alongside.total_timesteps) == (1300, 4_000_000)
    assert alongside.initial_labels == 500
    slower = alongside.policy.learning_rate_end  # it has less time to fall
    assert alongside.policy == replace(pong.policy, learning_rate_end=slower)
    assert alongside.predictor == pong.predictor
    assert alongside.env.id == "prefrl/EnduroAlongside-v0"


def test_a_task_that_the_paper_does_not_have_has_no_recipe_of_it():
    for task in ("moving-dot", "ALE/Pong-v5"):
        with pytest.raises(ConfigError, match=f"there for beamrider, .*, not for {task}"):
            settings_of(task, "paper")


def test_the_papers_recipe_has_one_algorithm():
    paper = settings_of("pong", "paper")
    assert for_algo(paper, "a2c") == paper
    with pytest.raises(ConfigError, match="leave out --recipe paper"):
        for_algo(paper, "ppo")
