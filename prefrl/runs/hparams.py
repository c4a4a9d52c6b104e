"""TensorBoard's hyperparameters tab: a line for each run, with its settings and what it reached."""

import time
from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb  # .api wants TensorFlow
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from prefrl.config import Config
from prefrl.config_file import to_dict
from prefrl.run_directory import RunDirectory
from prefrl.runs.differences import flat

RESULTS = ("normalised_score", "labels", "validation_accuracy", "wall_s")


def write_settings(run: RunDirectory, config: Config) -> None:
    """Say when a run begins which settings it has.

    They stand in the folder above those of the processes, so that TensorBoard counts these as one.
    """
    settings = {
        name: value if isinstance(value, bool | int | float | str) else _written(value)
        for name, value in flat(to_dict(config)).items()
    }
    # A group is a line of the tab; its name is by default made of the settings alone.
    _write(run, hparams_pb(settings, trial_id=run.path.resolve().name), step=0)


def write_results(run: RunDirectory, result: Mapping[str, Any]) -> None:
    """Say at its end what it reached: the tab's columns of metrics beside those of training."""
    found = {name: result.get(name) for name in RESULTS}
    returns = result.get("true_return")
    if returns:
        found["true_return"] = returns["mean"]
    values = [
        Summary.Value(tag=f"result/{name}", simple_value=value)
        for name, value in found.items()
        if value is not None
    ]
    _write(run, Summary(value=values), step=result.get("env_steps") or 0)


def _written(value: Any) -> str:
    """The tab knows no lists, and nothing of None."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _write(run: RunDirectory, summary: Summary, step: int) -> None:
    events = EventFileWriter(str(run.tensorboard))
    events.add_event(Event(wall_time=time.time(), step=step, summary=summary))
    events.close()
