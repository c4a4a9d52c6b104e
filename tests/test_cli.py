"""What a person types wrongly costs one line; what he types rightly wins over file and recipe."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from given_run import stored_run
from training import PREFRL

from prefrl import cli
from prefrl.cli import main
from prefrl.config import Config, EnvConfig
from prefrl.config_file import to_dict
from prefrl.recipes import RECIPES, settings_of

pytestmark = pytest.mark.usefixtures("folder")

ODD_ENVIRONMENTS = '''
import gymnasium, numpy
from gymnasium.spaces import Box, Dict, Discrete

class Odd(gymnasium.Env):
    def __init__(self, render_mode=None):
        pass

    observation_space = Dict({"where": Box(-1, 1, (2,), numpy.float32)})
    action_space = Discrete(2)

class Plain(gymnasium.Env):
    """Takes no render_mode, since it cannot render."""

    observation_space = Box(-1, 1, (2,), numpy.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        return numpy.zeros(2, numpy.float32), {}

gymnasium.register("cli-tests/Odd-v0", entry_point=Odd)
gymnasium.register("cli-tests/Plain-v0", entry_point=Plain)
'''

BROKEN_ENVIRONMENT = """
import gymnasium, numpy
from gymnasium.spaces import Box, Discrete

class Broken(gymnasium.Env):
    observation_space = Box(-1, 1, (2,), numpy.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        return SEEN

gymnasium.register("cli-tests/Broken-NAME", entry_point=Broken)
"""


@pytest.fixture
def settings(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """The settings that a command would use."""

    def run(*arguments: str) -> dict[str, Any]:
        assert main([*arguments, "--print-config"]) == 0
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        return printed

    return run


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command_and_every_recipe(arguments, capsys):
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    commands = [
        "train", "label", "evaluate", "replay", "export", "gather", "pretrain", "compare", "plot",
        "reproduce", "runs",
    ]  # fmt: skip
    for name in (*commands, *RECIPES):
        assert f"\n  {name} " in out


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("train", "--label.budget"), ("gather", "--label.budget"), ("pretrain", "--label.budget"),
        ("evaluate", "--episodes"), ("replay", "--checkpoint"), ("export", "--format"),
    ],
)  # fmt: skip
def test_the_help_of_a_command_names_its_settings(command, setting, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert setting in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "plain"),
    [
        ("evaluate", "RUN [--checkpoint STR] [--episodes INT] [--seed INT]"),
        ("replay", "RUN"), ("export", "RUN"), ("label", "RUN"), ("plot", "RUN"),
        ("reproduce", "RUN"), ("compare", "RUN ..."),
        ("runs", "[DIR]"), ("runs show", "RUN"), ("runs prune", "RUN ..."), ("serve", "[DIR]"),
        ("train pendulum", "--label.rationality FLOAT"),
    ],
)  # fmt: skip
def test_help_calls_arguments_by_what_they_are(command, plain, capsys):
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    out = capsys.readouterr().out
    assert plain in out
    assert "PATH" not in out
    assert "{None}" not in out


def test_what_may_be_none_can_be_set_to_none_again(folder, settings):
    (folder / "a.toml").write_text("[label]\nrationality = 3.0\n")
    line = ("train", "pendulum", "--config", "a.toml")
    assert settings(*line)["label"]["rationality"] == 3
    assert settings(*line, "--label.rationality", "None")["label"]["rationality"] is None


@pytest.mark.parametrize(
    "line", ["--help", "train pendulum --help", "train pendulum --print-config"]
)
def test_a_reader_that_has_seen_enough_is_no_error(line):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [PREFRL, *line.split()], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_version_is_one_line(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split() == ["prefrl", "0.1.0"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trian pendulum", "unknown command 'trian'; did you mean 'train'?"),
        ("train", "train: say which environment"),
        ("gather --seed 1", "gather: say which environment"),
        ("train pendulum --polcy.n-steps 3", "--polcy.n-steps, 3; did you mean --policy.n-steps?"),
        ("train pendulum twice", "twice"),
        ("train pendulm", "unknown environment 'pendulm'; did you mean 'pendulum'?"),
        ("train Pendulum-v11", "unknown environment 'Pendulum-v11'; did you mean 'Pendulum-v1'?"),
        ("train nothing/Like-this-v0", "unknown environment 'nothing/Like-this-v0'"),
        ("train pendulum --seed one", "prefrl: --seed: expected a whole number, got 'one'"),
        ("train pendulum --labels abc", "/--label.budget: expected a whole number, got 'abc'"),
        ("train pendulum --label.rationality x", "rationality: expected a number, got 'x'"),
        ("evaluate . --seed 1.5", "prefrl: --seed: expected a whole number, got '1.5'"),
        ("evaluate", "RUN"),
        ("train pendulum --seed", "--seed"),
        ("train pendulum --seed -1", "seed: expected "),
        ("train pendulum --algo dqn", "'ppo', 'a2c'"),
        ("train pendulum --policy.n-envs 0", "policy.n_envs: expected "),
        ("train pendulum --label.initial-fraction 1.5", "label.initial_fraction"),
        ("train pendulum --predictor.error-rate 1", "predictor.error_rate"),
        ("train pendulum --predictor.no-batch-norm", "is for images"),
        ("train pendulum --env.atari-backend sb3", "is for Atari games"),
        ("train pendulum --algo a2c --policy.n-epochs 7", "is for PPO"),
        ("train pong --env.arguments a=1", "is not for Atari games"),
        ("train pendulum --recipe paper", "--recipe paper: is there for beamrider,"),
        ("train pong --recipe paper --algo ppo", "leave out --recipe paper"),
        ("train qbert --env.atari-episodes rally", "rally: is known of Pong, not of ALE/Qbert-v5"),
        ("train pendulum --run-dir a --name b", "give one of them"),
        ("train pong --labels 3000 --total-timesteps 20000", "--total-timesteps 20000"),
        ("train pendulum --env-import no_such_module", "--env-import no_such_module"),
        ("train pendulum --labels 8", "10 are needed"),
        ("gather pendulum --labels 8", "10 are needed"),
        ("train pendulum --total-timesteps 100", "--total-timesteps 100"),
        ("train pendulum --reward true --total-timesteps 100", "one rollout of 800"),
        ("train pendulum --reward true --labels-from x", "no --labels-from, no --reward-from"),
        ("train pendulum --labels-from no-run", "no-run is no run"),
        ("train pendulum --reward-from no-run", "no-run is no run"),
        ("train pendulum --config absent.toml", "--config absent.toml"),
        ("pretrain", "--labels-from RUN"),
        ("pretrain --labels-from no-run", "no-run is no run"),
        ("evaluate", "run"),
        ("evaluate no-run", "no-run is no run"),
        ("evaluate .", "is no run"),
        ("evaluate . --episodes 0", "--episodes: expected at least 1, got 0"),
    ],
)
def test_a_mistake_is_answered_by_one_line(line, said, refused):
    assert said in refused(*line.split())


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_complaint_is_one_line_whatever_the_terminal_can_draw(encoding, run_python):
    code = "import sys; from prefrl.cli import main; sys.exit(main(sys.argv[1:]))"
    for arguments, said in (
        (("train", "pendulum", "--polcy.n-steps", "3"), "did you mean --policy.n-steps?"),
        (("train", "pendulum", "--seed", "one"), "expected a whole number, got 'one'"),
        (("train", "pong", "--labels", "8"), "10 are needed"),  # ALE would greet first
    ):
        ended = run_python(code, *arguments, PYTHONIOENCODING=encoding)
        assert ended.returncode == 2
        assert said in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert "---" not in ended.stderr
        assert "helptext" not in ended.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("option", ["--device", "--predictor.device"])
def test_a_gpu_that_is_absent_is_refused(option, refused):
    assert f"{option} cuda: torch sees no GPU" in refused("train", "pendulum", option, "cuda")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", "[policy]\nn_stpes = 3\n", "'policy.n_stpes'; did you mean 'n_steps'?"),
        ("a.json", '{"policy": {"n_stpes": 3}}', "'policy.n_stpes'; did you mean 'n_steps'?"),
        ("a.toml", "[policy]\nn_steps = 'many'\n", "policy.n_steps: expected int, got 'many'"),
        ("a.json", '{"policy": {"n_steps": 2.5}}', "policy.n_steps: expected int, got 2.5"),
        ("a.json", '{"policy": {"n_steps": true}}', "policy.n_steps: expected int, got True"),
        ("a.json", '{"policy": 3}', "policy: expected a table of settings, got 3"),
        ("a.json", '{"predictor": {"inputs": "action"}}', "predictor.inputs: expected a list"),
        ("a.toml", "[policy]\nalgo = 'dqn'\n", "policy.algo: expected one of ppo, a2c"),
        ("a.toml", "[policy\n", "--config a.toml"),
        ("a.json", "{", "--config a.json"),
        ("a.json", "[]", "--config a.json: expected a table of settings"),
        ("a.json", '{"env": {"id": "Acrobot-v1"}}', "--config is for Acrobot-v1, not for"),
        ("a.json", '{"env": {"id": ["Acrobot-v1"]}}', "env.id: expected str"),
        ("a.toml", "seed = -1\n", "seed: expected "),
    ],
)
def test_a_mistake_in_a_file_of_settings_is_named(name, text, said, folder, refused):
    (folder / name).write_text(text)
    assert said in refused("train", "pendulum", "--config", name)


def test_a_file_of_settings_that_is_no_text_is_refused(folder, refused):
    (folder / "a.toml").write_bytes(b"\xff\xfe\x00")
    (folder / "b.json").mkdir()
    for name in ("a.toml", "b.json"):
        assert f"--config {name}" in refused("train", "pendulum", "--config", name)


def test_nothing_that_exists_is_taken_for_a_new_run(folder, refused):
    (folder / "here").mkdir()
    (folder / "file").touch()
    for name in ("here", "file"):
        assert f"{name} exists already" in refused("train", "pendulum", "--run-dir", name)
    assert refused("train", "pendulum", "--run-dir", "file/below")


@pytest.mark.parametrize("name", ["a/b", "..", "../out", "."])
def test_a_name_that_the_archive_would_not_find_is_refused(folder, refused, name):
    assert "a name has no slashes" in refused("train", "pendulum", "--name", name)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "seen", "said"),
    [
        ("v0", "numpy.array([numpy.nan, 0]), {}", " gives an observation with NaN"),
        ("v1", "numpy.zeros(3), {}", " gives an observation of shape (3,), its space says (2,)"),
        ("v2", "numpy.zeros((2, 1)), {}", " gives an observation of shape (2, 1), its"),
        ("v3", "numpy.zeros(3)", ": too many values to unpack"),
    ],
)
def test_an_environment_that_breaks_its_own_space_is_named(folder, refused, name, seen, said):
    code = BROKEN_ENVIRONMENT.replace("SEEN", seen).replace("NAME", name)
    (folder / f"broken_{name}.py").write_text(code)
    wanted = (f"cli-tests/Broken-{name}", "--env-import", f"broken_{name}")
    assert f"{wanted[0]}: reset(){said}" in refused("train", *wanted)


def test_ctrl_c_before_there_is_a_run_is_one_line(monkeypatch, capsys):
    def interrupted(args: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    assert main(["train", "pendulum"]) == 130
    assert capsys.readouterr().err == "prefrl: stopped\n"


def test_modules_in_the_directory_one_is_in_are_found(folder):
    (folder / "odd_environments.py").write_text(ODD_ENVIRONMENTS)
    program = Path(sys.executable).with_name("prefrl")
    command = ["train", "cli-tests/Plain-v0", "--env-import", "odd_environments", "--print-config"]
    ended = subprocess.run([program, *command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_an_unsupported_space_is_named(folder, refused):
    (folder / "odd_environments.py").write_text(ODD_ENVIRONMENTS)
    said = refused("train", "cli-tests/Odd-v0", "--env-import", "odd_environments")
    assert "cli-tests/Odd-v0: observations are Dict; only Box" in said


def test_an_environment_that_cannot_render_needs_no_render_mode(folder, settings):
    (folder / "odd_environments.py").write_text(ODD_ENVIRONMENTS)
    used = settings("train", "cli-tests/Plain-v0", "--env-import", "odd_environments")
    assert used["env"]["id"] == "cli-tests/Plain-v0"


def test_a_module_that_fails_on_import_is_named(folder, refused):
    (folder / "needs_more.py").write_text("import no_such_module\n")
    said = refused("train", "pendulum", "--env-import", "needs_more")
    assert "--env-import needs_more: No module named 'no_such_module'" in said
    assert "no_such_module" not in sys.modules


def test_the_command_line_wins_over_the_file_and_the_file_over_the_recipe(folder, settings):
    (folder / "a.toml").write_text("seed = 3\n[policy]\nn_steps = 64\nn_envs = 2\n")
    used = settings("train", "pendulum", "--config", "a.toml", "--policy.n-envs", "5")
    assert used["policy"]["gamma"] == RECIPES["pendulum"].config.policy.gamma
    assert (used["seed"], used["policy"]["n_steps"], used["policy"]["n_envs"]) == (3, 64, 5)
    used = settings("train", "pendulum", "--n-envs", "5", "--seed", "0", "--config", "a.toml")
    assert (used["seed"], used["policy"]["n_envs"]) == (0, 5)


def test_a_value_that_equals_the_recipes_wins_over_the_file_all_the_same(folder, settings):
    (folder / "a.toml").write_text("[policy]\nn_envs = 2\n")
    ours = RECIPES["pendulum"].config.policy.n_envs
    used = settings("train", "pendulum", "--config", "a.toml", "--policy.n-envs", str(ours))
    assert used["policy"]["n_envs"] == ours


@pytest.mark.parametrize("task", [*RECIPES, "MountainCarContinuous-v0", "FrozenLake-v1"])
def test_printed_settings_are_accepted_again_unchanged(task, folder, settings):
    used = settings("train", task, "--policy.n-envs", "3", "--seed", "7")
    (folder / "a.json").write_text(json.dumps(used))
    assert settings("train", task, "--config", "a.json") == used
    if task in RECIPES:
        expected = to_dict(RECIPES[task].config)
        expected["seed"], expected["policy"]["n_envs"] = 7, 3
        assert used == expected


def test_printed_settings_of_the_other_algorithm_are_accepted_again_unchanged(folder, settings):
    used = settings("train", "pendulum", "--algo", "a2c")
    assert (used["policy"]["algo"], used["policy"]["n_steps"]) == ("a2c", 5)
    (folder / "a.json").write_text(json.dumps(used))
    assert settings("train", "pendulum", "--config", "a.json") == used


@pytest.mark.parametrize("command", ["train", "gather"])
def test_the_papers_recipe_is_taken_by_name_and_the_command_line_wins(command, settings):
    expected = to_dict(settings_of("pong", "paper"))
    expected["label"]["budget"] = 700
    assert settings(command, "pong", "--recipe", "paper", "--labels", "700") == expected
    assert settings(command, "pong") == settings(command, "pong", "--recipe", "fast")


def test_printed_settings_of_the_paper_are_accepted_again_unchanged(folder, settings):
    used = settings("train", "breakout", "--recipe", "paper")
    (folder / "a.json").write_text(json.dumps(used))
    assert settings("train", "breakout", "--config", "a.json") == used


def test_printing_settings_makes_no_run(folder, settings):
    settings("train", "pendulum", "--run-dir", "new")
    settings("gather", "pendulum")
    assert list(folder.iterdir()) == []


def test_pretrain_takes_the_settings_of_the_run_whose_labels_it_uses(folder, settings):
    config = Config(env=EnvConfig(id="Pendulum-v1", clip_length=12), seed=9)
    stored_run(folder / "given", config)
    used = settings("pretrain", "--labels-from", "given", "--predictor.members", "5")
    assert (used["seed"], used["env"]["clip_length"]) == (9, 12)
    assert used["predictor"]["members"] == 5


def test_errors_of_our_own_making_are_not_passed_off_as_the_users(monkeypatch):
    def broken(*_: object) -> int:
        raise ValueError("this is a bug")

    monkeypatch.setattr("prefrl.run_directory.RunDirectory.open", broken)
    with pytest.raises(ValueError, match="this is a bug"):
        main(["evaluate", "."])


def test_an_id_that_a_recipe_knows_is_run_as_any_other_and_the_recipe_is_named(capsys):
    assert main(["train", "prefrl/MovingDot-v0", "--print-config"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["policy"]["keypoints"] == 0
    assert shown.err == "prefrl: `train moving-dot` has settings that fit this task\n"
