"""The hyperparameters tab, as TensorBoard's own plugin reads it."""

from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.get_experiment import Handler as Experiment
from tensorboard.plugins.hparams.list_session_groups import Handler as SessionGroups

from prefrl.config import Config, RewardConfig
from prefrl.metrics import Metrics
from prefrl.run_directory import RunDirectory
from prefrl.runs.hparams import write_results, write_settings

RESULT = {
    "env_steps": 500, "labels": 40, "normalised_score": None, "validation_accuracy": 0.75,
    "wall_s": 12.5, "true_return": {"mean": -3.5},
}  # fmt: skip


@pytest.fixture
def tab(tmp_path):
    """What the plugin would show for two runs with the same settings."""
    for name in ("one", "two"):
        run = RunDirectory.create(tmp_path / name)
        config = replace(Config(), seed=3, predictor=RewardConfig(hidden=(32, 16)))
        write_settings(run, config)
        with Metrics(run, "policy") as metrics:
            metrics.write({"rollout/true_return": 7.0}, step=100)
        write_results(run, RESULT)
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    provider = MultiplexerDataProvider(multiplexer, str(tmp_path))
    context = Context(TBContext(data_provider=provider))
    experiment = Experiment(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=9, allowed_statuses=[api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS],
        col_params=[
            api_pb2.ColParams(metric=metric.name) for metric in experiment.metric_infos
        ],
    )  # fmt: skip
    groups = SessionGroups(RequestContext(), context, "", request).run()
    return groups.session_groups


def test_each_run_is_a_line_with_its_settings(tab):
    assert sorted(group.name for group in tab) == ["one", "two"]
    settings = dict(tab[0].hparams.items())
    assert settings["seed"].number_value == 3
    assert settings["env.id"].string_value == "prefrl/MovingDotPosition-v0"
    assert settings["predictor.hidden"].string_value == "32 16"
    assert settings["label.rationality"].string_value == "None"
    assert settings["inline"].bool_value is False


def test_the_columns_hold_what_was_reached_and_what_training_logged(tab):
    found = {metric.name.tag: metric.value for metric in tab[0].metric_values}
    assert found == pytest.approx({
        "result/true_return": -3.5, "result/labels": 40, "result/validation_accuracy": 0.75,
        "result/wall_s": 12.5, "rollout/true_return": 7.0,
    })  # fmt: skip
