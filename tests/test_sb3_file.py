"""Policies go out to plain SB3 and come in from it, and play there as here."""

import base64
import json
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from untrained_run import untrained_run

from prefrl.cli import main
from prefrl.config import ConfigError, PolicyConfig
from prefrl.run_directory import RunDirectory, RunError
from prefrl.runs.evaluation import evaluate, policy_acts, summary
from prefrl.runs.replay import play
from prefrl.runs.sb3_export import export_sb3
from prefrl.runs.sb3_file import load_sb3, sb3_acts
from prefrl.runs.trained import load_trained

SEED, N_ENVS, EPISODES = 5, 3, 7

# What somebody runs who has SB3 and not prefrl; the environment is the one the export names.
ELSEWHERE = """
import json, sys
sys.modules["prefrl"] = sys.modules["labeler_ui"] = None
import ale_py, gymnasium, torch
gymnasium.register_envs(ale_py)
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.atari_wrappers import WarpFrame
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import (
    DummyVecEnv, VecEnv, VecFrameStack, VecNormalize, VecTransposeImage)
algorithm, path, environment, n_envs, episodes, seed = sys.argv[1:]
model = {"ppo": PPO, "a2c": A2C}[algorithm].load(path, device="cpu")
one = eval(environment)
venv = one if isinstance(one, VecEnv) else DummyVecEnv(
    [lambda: eval(environment)] * int(n_envs))
venv.seed(int(seed))
torch.manual_seed(int(seed))
returns, _ = evaluate_policy(
    model, venv, int(episodes), deterministic=False, return_episode_rewards=True, warn=False)
print(json.dumps([float(r) for r in returns]))
"""


def exported(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str, list[str]]:
    """The file, its environment in Python, and what is to be noted."""
    assert main(["export", str(run.path)]) == 0
    path, *said = capsys.readouterr().out.splitlines()
    plays, *notes = said[said[0].endswith(".pkl") :]
    return Path(path), plays.removeprefix("plays in "), notes


@pytest.mark.parametrize(
    ("env_id", "algo", "net_arch"),
    [
        ("Pendulum-v1", "ppo", (64, 64)),
        ("Pendulum-v1", "a2c", ()),
        ("CartPole-v1", "ppo", (32,)),
        ("CliffWalking-v1", "a2c", (16,)),
    ],
)
def test_an_exported_policy_scores_the_same_where_prefrl_is_absent(
    env_id, algo, net_arch, tmp_path, capsys, run_python
):
    policy = PolicyConfig(
        algo=algo, net_arch=net_arch, n_envs=N_ENVS, n_steps=32, batch_size=32, activation="relu"
    )
    run = untrained_run(tmp_path / "run", env_id, policy=policy, env_time_limit=60)
    path, environment, _ = exported(run, capsys)
    assert environment == f'gymnasium.make("{env_id}", max_episode_steps=60)'
    done = run_python(ELSEWHERE, algo, path, environment, str(N_ENVS), str(EPISODES), str(SEED))
    assert done.returncode == 0, done.stderr
    trained = load_trained(run)
    here = summary(evaluate(trained.config, trained.model, None, EPISODES, SEED), 25)["true_return"]
    there = json.loads(done.stdout.splitlines()[-1])
    assert len(there) == here["episodes"] == EPISODES
    assert np.std(there) > 0
    for name, value in (("mean", np.mean(there)), ("min", min(there)), ("max", max(there))):
        assert value == pytest.approx(here[name], rel=1e-3), name


def test_an_exported_image_policy_plays_the_same_game_elsewhere(tmp_path, capsys, run_python):
    run = untrained_run(
        tmp_path / "run", "ALE/Pong-v5", env_time_limit=150, env_atari_backend="sb3"
    )
    path, environment, notes = exported(run, capsys)
    assert notes == [
        "note: `import ale_py; gymnasium.register_envs(ale_py)` registers the environment"
    ]
    done = run_python(ELSEWHERE, "ppo", path, environment, "1", "2", str(SEED))
    assert done.returncode == 0, done.stderr
    trained = load_trained(run)
    here = summary(evaluate(trained.config, trained.model, None, 2, SEED), 25)["true_return"]
    assert np.mean(json.loads(done.stdout.splitlines()[-1])) == here["mean"]
    assert here["mean"] < 0


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("atari_repeat_action_probability", 0.25, "repeat_action_probability=0.25"),
        ("atari_actions", "full", "full_action_space=True"),
        ("atari_episodes", "life", "terminal_on_life_loss=True"),
    ],
)
def test_the_environment_of_an_exported_policy_has_its_form(setting, value, said, tmp_path, capsys):
    run = untrained_run(tmp_path / "run", "ALE/Breakout-v5", **{f"env_{setting}": value})
    assert said in exported(run, capsys)[1]


def test_what_sb3_has_no_wrapper_for_is_not_exported(tmp_path):
    run = untrained_run(tmp_path / "run", "ALE/Pong-v5", env_atari_actions="reduced")
    with pytest.raises(ConfigError, match="SB3 has no wrapper for"):
        export_sb3(load_trained(run), tmp_path / "x.zip")


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "prefrl/MovingDotContinuous-v0"])
def test_an_exported_image_policy_is_the_same_function(env_id, tmp_path):
    trained = load_trained(untrained_run(tmp_path / "run", env_id))
    exported = export_sb3(trained, tmp_path / "x.zip")
    policy = load_sb3(tmp_path / "x.zip", exported.statistics)
    assert policy.statistics is not None
    assert policy.statistics.obs_rms.mean.std() > 0.1
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 84, 84), np.uint8)
    ours = policy_acts(trained.model, deterministic=True)(images)
    theirs = sb3_acts(policy, trained.config, deterministic=True)(images)
    # Noise enters at the bound of ten deviations, and float32 sums of it differ in the fifth digit.
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    assert len(np.unique(ours.round(3))) > 1
    normalised = policy.statistics.normalize_obs(images)
    values = [
        model.policy.predict_values(torch.from_numpy(seen))
        for model, seen in ((trained.model, images), (policy.model, normalised))
    ]
    assert values[0].std() > 0.01
    torch.testing.assert_close(*values, atol=1e-4, rtol=1e-3)


def test_statistics_that_are_missing_or_of_another_policy_are_named(plain, tmp_path):
    trained = load_trained(untrained_run(tmp_path / "run", "prefrl/MovingDot-v0"))
    exported = export_sb3(trained, tmp_path / "x.zip")
    with pytest.raises(ConfigError, match="with --sb3-statistics"):
        sb3_acts(load_sb3(tmp_path / "x.zip"), trained.config, False)
    pendulum = load_trained(untrained_run(tmp_path / "p", "Pendulum-v1")).config
    with pytest.raises(ConfigError, match=r"not of the policy's \[3\] numbers"):
        sb3_acts(load_sb3(plain, exported.statistics), pendulum, False)
    for content in (b"nothing", pickle.dumps([1])):
        (tmp_path / "odd.pkl").write_bytes(content)
        with pytest.raises(RunError, match="nothing that VecNormalize saved"):
            load_sb3(plain, tmp_path / "odd.pkl")


def test_observations_are_normalised_as_sb3_had_them_normalised(tmp_path):
    venv = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]), norm_reward=False)
    model = PPO("MlpPolicy", venv, n_steps=64, batch_size=64, seed=0, device="cpu")
    model.learn(128)
    model.save(tmp_path / "x.zip")
    venv.save(str(tmp_path / "x.vecnormalize.pkl"))
    config = load_trained(untrained_run(tmp_path / "run", "Pendulum-v1")).config
    raw = np.float32([[0.1, -0.9, 7.0], [1.0, 0.0, -3.0]])
    expected, _ = model.predict(venv.normalize_obs(raw), deterministic=True)
    saved = load_sb3(tmp_path / "x.zip", tmp_path / "x.vecnormalize.pkl")
    acted = sb3_acts(saved, config, deterministic=True)(raw)
    np.testing.assert_allclose(2 * acted, expected, rtol=1e-5)
    plain, _ = model.predict(raw, deterministic=True)
    assert not np.allclose(2 * acted, plain)


def test_nothing_in_an_exported_file_is_ours(tmp_path):
    for env_id in ("Pendulum-v1", "prefrl/MovingDot-v0"):
        run = untrained_run(tmp_path / env_id.replace("/", "-"), env_id)
        export_sb3(load_trained(run), tmp_path / "x.zip")
        with zipfile.ZipFile(tmp_path / "x.zip") as archive:
            for name in archive.namelist():
                text = archive.read(name)
                assert b"prefrl" not in text, name
            pickles = re.findall(r'":serialized:": "([^"]+)"', archive.read("data").decode())
        assert pickles
        for encoded in pickles:
            assert b"prefrl" not in base64.b64decode(encoded)
    assert b"prefrl" not in (tmp_path / "x.vecnormalize.pkl").read_bytes()


def test_normalisation_that_cannot_be_cut_off_is_noted(tmp_path, capsys):
    bounded = untrained_run(tmp_path / "bounded", "Pendulum-v1")
    assert exported(bounded, capsys)[2] == []
    unbounded = untrained_run(tmp_path / "unbounded", "CartPole-v1")
    (note,) = exported(unbounded, capsys)[2]
    assert "10 deviations" in note
    half = untrained_run(tmp_path / "half", "prefrl/MovingDot-v0", precision="bfloat16")
    assert exported(half, capsys)[2] == [
        "note: `import prefrl_envs` registers the environment",
        "note: trained in bfloat16; SB3 computes in float32, so games may differ",
    ]


def test_the_environments_arguments_are_part_of_its_name(tmp_path, capsys):
    run = untrained_run(
        tmp_path / "run", "FrozenLake-v1", env_arguments=("map_name=8x8", "is_slippery=false")
    )
    assert exported(run, capsys)[1] == (
        "gymnasium.make(\"FrozenLake-v1\", max_episode_steps=100, map_name='8x8', "
        "is_slippery=False)"
    )


def test_the_output_may_lie_elsewhere_and_ends_with_zip(tmp_path, capsys):
    run = untrained_run(tmp_path / "run", "Pendulum-v1")
    assert main(["export", str(run.path), "--output", str(tmp_path / "a" / "p.zip")]) == 0
    assert (tmp_path / "a" / "p.zip").is_file()
    assert main(["export", str(run.path), "--output", str(tmp_path / "p.pt")]) == 2
    assert "ends with .zip" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["export", str(run.path), "--output", str(tmp_path / "file" / "p.zip")]) == 2


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that SB3 saved, trained a little on the bare pendulum."""
    model = PPO("MlpPolicy", "Pendulum-v1", n_steps=64, batch_size=64, seed=0, device="cpu")
    model.learn(128)
    path = tmp_path_factory.mktemp("plain") / "plain.zip"
    model.save(path)
    return path


def test_a_policy_of_plain_sb3_scores_in_a_replay_as_in_sb3(plain, tmp_path, capsys):
    run = untrained_run(tmp_path / "run", "Pendulum-v1")
    trusted = ["--sb3-zip", str(plain), "--i-trust-this-file", "--deterministic"]
    assert main(["replay", str(run.path), *trusted, "--seed", "3", "--episodes", "2"]) == 0
    video = Path(capsys.readouterr().out.strip())
    assert video.name == "replay-sb3-plain-seed3-deterministic-episodes2.mp4"
    record = json.loads(video.with_suffix(".json").read_text())
    venv = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")])
    venv.seed(3)
    returns, _ = evaluate_policy(
        PPO.load(plain, device="cpu"), venv, 2, return_episode_rewards=True, warn=False
    )
    played = [episode["true_return"] for episode in record["episodes"]]
    assert played == pytest.approx(returns, rel=1e-3)


def test_an_exported_policy_comes_back_the_same(tmp_path):
    trained = load_trained(untrained_run(tmp_path / "run", "Pendulum-v1"))
    export_sb3(trained, tmp_path / "x.zip")
    acts = sb3_acts(load_sb3(tmp_path / "x.zip"), trained.config, True)
    ours = play(trained, "last", deterministic=True).episodes[0].true
    theirs = play(trained, "x", act=acts).episodes[0].true
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.mkdir, (self.marker,)


def test_a_file_that_nobody_vouches_for_is_not_opened(plain, tmp_path, capsys):
    run = untrained_run(tmp_path / "run", "Pendulum-v1")
    evil, marker = tmp_path / "evil.zip", tmp_path / "was-here"
    with zipfile.ZipFile(plain) as good, zipfile.ZipFile(evil, "w") as bad:
        for name in good.namelist():
            data = pickle.dumps(Bomb(marker)) if name == "policy.pth" else good.read(name)
            bad.writestr(name, data)
    evil_statistics = tmp_path / "evil.vecnormalize.pkl"  # where `export` puts it, and not named
    evil_statistics.write_bytes(pickle.dumps(Bomb(marker)))
    statistics = ["--sb3-statistics", str(evil_statistics)]
    for files in (["--sb3-zip", str(evil)], ["--sb3-zip", str(plain), *statistics]):
        assert main(["replay", str(run.path), *files]) == 2
        err = capsys.readouterr().err
        assert "--i-trust-this-file" in err
        assert all(file in err for file in files)
        assert err.count("\n") == 1
    good = shutil.copy(plain, tmp_path / "evil.zip")
    assert main(["replay", str(run.path), "--sb3-zip", str(good), "--i-trust-this-file"]) == 0
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"PK\3\4nothing", b'{"gae_lambda": 1}'])
def test_what_sb3_did_not_save_is_named(content, tmp_path):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(RunError, match="no policy that SB3 saved"):
        load_sb3(tmp_path / "x.zip")


def test_files_that_are_not_there_are_said_to_be_so(plain, tmp_path):
    for files in ((tmp_path / "x.zip",), (plain, tmp_path / "x.pkl")):
        with pytest.raises(RunError) as said:
            load_sb3(*files)
        assert str(said.value) == f"{files[-1]}: No such file or directory"


def test_policies_for_other_tasks_or_of_other_algorithms_are_refused(plain, tmp_path):
    DQN("MlpPolicy", "CartPole-v1", device="cpu", buffer_size=10).save(tmp_path / "dqn.zip")
    with pytest.raises(RunError, match="only PPO and A2C"):
        load_sb3(tmp_path / "dqn.zip")
    A2C("MlpPolicy", "CartPole-v1", device="cpu").save(tmp_path / "a2c.zip")
    policy = load_sb3(tmp_path / "a2c.zip")
    assert isinstance(policy.model, A2C)
    pole = load_trained(untrained_run(tmp_path / "p", "CartPole-v1")).config
    lake = load_trained(untrained_run(tmp_path / "l", "FrozenLake-v1")).config
    sb3_acts(policy, pole, False)
    with pytest.raises(ConfigError, match=r"observations of \[4\]"):
        sb3_acts(policy, lake, False)
    dot = load_trained(untrained_run(tmp_path / "d", "prefrl/MovingDotPosition-v0")).config
    with pytest.raises(ConfigError, match="actions, Discrete"):
        sb3_acts(policy, dot, False)


def test_actions_that_do_not_count_from_0_are_refused(tmp_path, monkeypatch):
    class Off(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        action_space = gymnasium.spaces.Discrete(3, start=-1)

        def __init__(self, render_mode=None):
            pass

        def reset(self, *, seed=None, options=None):
            return np.zeros(2, np.float32), {}

        def step(self, action):
            return np.zeros(2, np.float32), 0.0, False, False, {}

    monkeypatch.setitem(
        gymnasium.registry, "off/Off-v0",
        gymnasium.envs.registration.EnvSpec("off/Off-v0", entry_point=Off),
    )  # fmt: skip
    trained = load_trained(untrained_run(tmp_path / "run", "off/Off-v0"))
    with pytest.raises(ConfigError, match="counts actions from 0"):
        export_sb3(trained, tmp_path / "x.zip")
