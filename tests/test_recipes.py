import dataclasses
from dataclasses import replace

import pytest

from prefrl.config import Config, ConfigError, EnvConfig
from prefrl.limits import check
from prefrl.policy.environment import task_spaces
from prefrl.recipes import RECIPES, for_algo, for_unknown, refuse_unusable
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
    assert config.total_timesteps > config.initial_clips * config.env.clip_length + 10 * rollout
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
    assert replace(a2c, policy=base.policy) == base


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
    ("policy.batch_size", 7, VECTOR, {"policy.algo": "a2c"}),
    ("policy.n_epochs", 7, VECTOR, {"policy.algo": "a2c"}),
    ("policy.clip_range", 0.7, VECTOR, {"policy.algo": "a2c"}),
    ("policy.use_sde", True, VECTOR, {}),
    ("env.termination_penalty", 1.0, VECTOR, {}),
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
    ("policy.clip_range", 0.7, VECTOR, {}),
    ("policy.use_sde", True, PHYSICS, {}),
    ("env.termination_penalty", 1.0, VECTOR, {"env.terminations": "penalty"}),
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


def test_every_setting_that_is_refused_exists():
    for name, *_ in CASES:
        part, setting = name.split(".")
        assert setting in {field.name for field in dataclasses.fields(getattr(Config(), part))}
