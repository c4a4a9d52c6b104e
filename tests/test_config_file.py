import dataclasses
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrl.config import Config, ConfigError, LabelConfig
from prefrl.config_file import from_dict, load_config, load_file, nearest, to_dict
from prefrl.recipes import RECIPES


@pytest.mark.parametrize("config", [Config(), *(r.config for r in RECIPES.values())])
def test_a_configuration_survives_json(config):
    written = json.loads(json.dumps(to_dict(config)))
    assert from_dict(Config(), written) == config


@given(st.data())
def test_any_one_setting_survives_json(data):
    part = data.draw(st.sampled_from(["env", "policy", "predictor", "label"]))
    settings = getattr(Config(), part)
    name = data.draw(st.sampled_from([field.name for field in dataclasses.fields(settings)]))
    old = getattr(settings, name)
    drawn = {
        bool: st.booleans(),
        int: st.integers(-(2**62), 2**62),
        float: st.floats(allow_nan=False, allow_infinity=False),
    }.get(type(old), st.just(old))
    config = replace(Config(), **{part: replace(settings, **{name: data.draw(drawn)})})
    assert from_dict(Config(), json.loads(json.dumps(to_dict(config)))) == config


def test_what_is_absent_keeps_its_default():
    default = replace(Config(), seed=7, label=LabelConfig(budget=33))
    changed = from_dict(default, {"policy": {"n_envs": 2}, "label": {"round_labels": 5}})
    assert changed.seed == 7
    assert changed.policy == replace(Config().policy, n_envs=2)
    assert changed.label == LabelConfig(budget=33, round_labels=5)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"seeed": 1}, "unknown setting 'seeed'; did you mean 'seed'?"),
        ({"policy": {"n_env": 1}}, "unknown setting 'policy.n_env'; did you mean 'n_envs'?"),
        ({"label": {"zzzzzz": 1}}, "unknown setting 'label.zzzzzz'"),
    ],
)
def test_an_unknown_key_names_the_nearest(values, expected):
    with pytest.raises(ConfigError) as caught:
        from_dict(Config(), values)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"seed": "1"}, "seed: expected int, got '1'"),
        ({"seed": 1.0}, "seed: expected int, got 1.0"),
        ({"seed": True}, "seed: expected int, got True"),
        ({"seed": None}, "seed: expected int, got None"),
        ({"inline": 1}, "inline: expected bool, got 1"),
        ({"policy": {"gamma": "high"}}, "policy.gamma: expected float, got 'high'"),
        ({"policy": {"gamma": False}}, "policy.gamma: expected float, got False"),
        ({"policy": {"algo": "dqn"}}, "policy.algo: expected one of ppo, a2c, got 'dqn'"),
        ({"policy": {"algo": ["ppo"]}}, "policy.algo: expected one of ppo, a2c, got ['ppo']"),
        ({"policy": {"net_arch": 64}}, "policy.net_arch: expected a list, got 64"),
        ({"policy": {"net_arch": ["a"]}}, "policy.net_arch: expected int, got 'a'"),
        ({"predictor": {"inputs": ["pixels"]}}, "expected one of observation, action, next_obs"),
        ({"env": {"id": 3}}, "env.id: expected str, got 3"),
        ({"env": {"import_modules": "mine"}}, "env.import_modules: expected a list, got 'mine'"),
        ({"policy": 3}, "policy: expected a table of settings, got 3"),
        ({"policy": {"gamma": 10**400}}, "policy.gamma: 100000000... is too large"),
    ],
)
def test_a_value_of_a_wrong_type_is_named(values, expected):
    with pytest.raises(ConfigError) as caught:
        from_dict(Config(), values)
    assert expected in str(caught.value)


def test_whole_numbers_are_taken_for_fractions():
    gamma = from_dict(Config(), {"policy": {"gamma": 1}}).policy.gamma
    assert (gamma, type(gamma)) == (1.0, float)


def test_toml_and_json_files_say_the_same(tmp_path):
    (tmp_path / "a.toml").write_text('seed = 3\n[policy]\nalgo = "a2c"\nnet_arch = [8, 8]\n')
    (tmp_path / "a.json").write_text('{"seed": 3, "policy": {"algo": "a2c", "net_arch": [8, 8]}}')
    first, second = (from_dict(Config(), load_file(tmp_path / f"a.{x}")) for x in ("toml", "json"))
    assert first == second
    assert (first.seed, first.policy.algo, first.policy.net_arch) == (3, "a2c", (8, 8))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.toml", "seed = "), ("a.json", "{"), ("a.json", "[1]"), ("a.json", "3")],
)
def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=f"--config .*{name}"):
        load_file(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"--config .*none\.toml: No such file"):
        load_file(tmp_path / "none.toml")


def test_a_runs_configuration_with_settings_of_another_version_is_an_error(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_dict(replace(Config(), seed=9))))
    assert load_config(path).seed == 9
    path.write_text(json.dumps({**to_dict(Config()), "sneed": 1}))
    with pytest.raises(ConfigError, match=r"config\.json: unknown setting 'sneed'"):
        load_config(path)
    with pytest.raises(ConfigError, match="nowhere"):
        load_config(tmp_path / "nowhere.json")


@pytest.mark.parametrize("content", ["[]", "3", "null"])
def test_a_runs_configuration_that_is_no_table_is_an_error(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ConfigError):
        load_config(path)


def test_nearest_says_nothing_where_nothing_is_near():
    assert nearest("pendulm", ["pendulum", "pong"]) == "; did you mean 'pendulum'?"
    assert nearest("zzzz", ["pendulum", "pong"]) == ""
