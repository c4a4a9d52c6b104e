"""Labels and rewards that another run gives: what is taken, and what is refused."""

import pytest
from given_run import stored_run

from prefrl.config import Config, EnvConfig, RewardConfig
from prefrl.config_file import to_dict
from prefrl.labels.store import LabelStore
from prefrl.recipes import RECIPES
from prefrl.run_directory import RunDirectory, write_json
from prefrl.types import Label, Query


def test_labels_of_another_task_are_refused(folder, refused):
    stored_run(folder / "pendulum", RECIPES["pendulum"].config)
    said = refused("train", "cartpole", "--labels-from", "pendulum")
    assert "environment is 'Pendulum-v1' there and 'prefrl/CartPoleUpright-v0' here" in said
    said = refused("train", "pendulum", "--labels-from", "pendulum", "--env.clip-length", "20")
    assert "clip_length is 30 there and 20 here" in said


@pytest.fixture
def labelled(folder, make_clip):
    """Makes a run with one label, by whom one says."""

    def make(labeler: str) -> RunDirectory:
        run = stored_run(folder / "given", RECIPES["pendulum"].config)
        with LabelStore.open(run.labels) as store:
            pair = {clip.id: clip for clip in map(make_clip, (1, 2))}
            query = Query(*pair, 0, 0)
            store.add_queries([query], pair)
            store.add_labels([Label("l", query.id, labeler, "left", 1e9, 1.5, query.left)])
        return run

    return make


@pytest.mark.parametrize("source", ["--labels-from", "--reward-from"])
@pytest.mark.parametrize(
    ("other", "said"),
    [
        (["--env.clip-rewards"], "clip_rewards is False there and True here"),
        (
            ["--terminations", "penalty", "--predictor.inputs", "observation"],
            "end_penalty is 0.0 there and 10.0 here",
        ),
    ],
)
def test_what_an_oracle_taught_that_compares_other_rewards_is_refused(
    labelled, refused, source, other, said
):
    labelled("oracle")
    assert said in refused("train", "pendulum", source, "given", *other)


def test_more_labels_than_the_budget_are_refused(labelled, refused):
    labelled("owner")
    said = refused("train", "pendulum", "--labels-from", "given", "--labels", "0")
    assert "--labels 0: given has 1 already" in said


def test_what_people_answered_is_taken_whatever_an_oracle_would_compare(labelled, refused):
    run = labelled("owner")
    run.config.write_text('{"colour": "red"}')  # and whatever version it was
    other = ("--env.clip-rewards", "--total-timesteps", "10")
    said = refused("train", "pendulum", "--labels-from", "given", *other)
    assert "--total-timesteps 10" in said  # which is looked at later


def test_labels_on_observations_of_another_shape_are_refused(folder, refused):
    small = RECIPES["moving-dot"].config
    small = Config(env=EnvConfig(id=small.env.id, image_size=42))
    stored_run(folder / "small", small)
    said = refused("train", "moving-dot", "--labels-from", "small")
    assert "observation_shape is [4, 42, 42] there and [2, 44, 44] here" in said


def test_too_few_labels_to_pretrain_on_are_refused(folder, refused):
    stored_run(folder / "pendulum", RECIPES["pendulum"].config)
    assert "has 0 labels; 10 are needed" in refused("pretrain", "--labels-from", "pendulum")


def test_a_reward_that_sees_or_does_something_else_is_refused(folder, refused):
    env = RECIPES["pendulum"].config.env
    seen = RewardConfig(inputs=("observation",))
    stored_run(folder / "other", Config(env=env, predictor=seen))
    said = refused("train", "pendulum", "--reward-from", "other")
    assert "predictor.inputs is ('observation',) there" in said
    stored_run(folder / "same", Config(env=env))
    inputs = ("--predictor.inputs", "observation", "action")
    said = refused("train", "cartpole", *inputs, "--reward-from", "same")
    assert "environment is 'Pendulum-v1' there" in said
    stored_run(folder / "pong", RECIPES["pong"].config)
    said = refused("train", "pendulum", "--reward-from", "pong")
    assert "environment is 'ALE/Pong-v5' there" in said


def test_a_run_without_a_reward_has_none_to_give(folder, refused):
    run = RunDirectory.create(folder / "baseline")
    write_json(run.config, to_dict(RECIPES["pendulum"].config))
    assert "no reward ensemble" in refused("train", "pendulum", "--reward-from", "baseline")
    assert "labels.sqlite3" in refused("train", "pendulum", "--labels-from", "baseline")
    assert "no policy" in refused("evaluate", "baseline")


def test_a_config_of_another_version_is_named(folder, refused):
    (folder / "old").mkdir()
    (folder / "old" / "config.json").write_text('{"colour": "red"}')
    for command in ("evaluate", "pretrain --labels-from", "train pendulum --reward-from"):
        assert "old/config.json: unknown setting 'colour'" in refused(*command.split(), "old")
