"""From settings to a finished run: check everything, make the directory, launch, record, report.

Nothing is written before everything was checked: bad input leaves no half-made run.
"""

import dataclasses
import json
import shutil
import socket
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from labeler_ui.server import Address, listen
from prefrl import processes
from prefrl.assignment import Assignment
from prefrl.compute import fast_format
from prefrl.config import LEAST_INITIAL_LABELS, Config, ConfigError
from prefrl.config_file import load_config, to_dict
from prefrl.console import RunConsole
from prefrl.display import Display
from prefrl.label_page import open_page, pairs_waiting
from prefrl.labels.oracle import Oracle
from prefrl.labels.store import LabelStore
from prefrl.launcher import (
    FILMS,
    Outcome,
    Target,
    ended_by_signals,
    launch,
    result,
    show_traceback,
)
from prefrl.policy.camera import check_can_be_filmed
from prefrl.policy.environment import exact_form, fingerprint, task_spaces
from prefrl.provenance import provenance, write_end, write_source
from prefrl.reward.checkpoint import load_reward
from prefrl.run_directory import RunDirectory, finite, write_json
from prefrl.run_log import RunLog
from prefrl.run_status import StatusFile
from prefrl.runs.against_random import no_better_than_random
from prefrl.runs.foreign import open_run
from prefrl.runs.hparams import write_results, write_settings


@dataclass(frozen=True)
class RunRequest:
    """What a person said about a run beside its settings."""

    name: str | None
    run_dir: Path | None
    note: str


def train(
    config: Config,
    request: RunRequest,
    labels_from: Path | None,
    reward_from: Path | None,
    address: Address,
) -> int:
    """Train a policy. Returns the exit code.

    Args:
        config: Of the run.
        request: What it is called.
        labels_from: A run whose labels it begins with.
        reward_from: A run whose fitted reward it begins with.
        address: Of the label page, if people label.

    Raises:
        ConfigError: Settings that cannot work together.
        RunError: The run exists already, or one to start from does not.
        StoreError: Labels of another task.
        ServerError: The label page cannot be served there.
    """
    config, spaces, task = _checked(config)
    learned = config.reward == "learned"
    people = learned and config.label.labeler == "human"
    if not people and address != Address():
        raise ConfigError("--host, --port, --allow-remote are the label page's: --labeler human")
    if people and config.inline:
        raise ConfigError("--inline repeats a run to the last number, which people do not")
    if not learned and (labels_from or reward_from):
        raise ConfigError(
            "--reward true learns from the true reward: no --labels-from, no --reward-from"
        )
    if not learned and config.inline:
        raise ConfigError("--inline puts two loops in lock step, and --reward true has one")
    given = _labels_given(labels_from, config, task)
    if given > config.label.budget:
        raise ConfigError(f"--labels {config.label.budget}: {labels_from} has {given} already")
    reward_folder = _reward_given(reward_from, config, task)
    if learned and not (reward_folder and config.label.budget == 0):
        _check_budget(config)
    random_clips = config.random_clips(given) if learned and not reward_folder else 0
    _check_length(config, random_clips)
    listening = listen(address) if people else None
    targets: dict[str, Target] = {"policy": processes.policy_process}
    if learned and config.inline:
        targets = {"inline": processes.inline_process}
    elif learned:
        targets["reward"] = processes.reward_process
    if config.film_every:
        targets[FILMS] = processes.film_process
    with ended_by_signals() as outcome, listening or nullcontext():
        run = _make_run(config, request, "train", labels_from, reward_from)
        if learned:
            _make_store(run, task, labels_from)
        assignment = Assignment(config, run.path, spaces, task, random_clips, reward_folder)
        page = None if listening is None else (listening, address.host)
        return _run(run, targets, assignment, learned, outcome, page)


def gather(config: Config, request: RunRequest) -> int:
    """Collect labels from a random policy. Returns the exit code."""
    config = dataclasses.replace(config, reward="learned")  # also with a baseline's config.json
    config, spaces, task = _checked(config)
    _check_budget(config)
    wanted = min(2 * config.label.budget, config.label.pool_size)
    with ended_by_signals() as outcome:
        run = _make_run(config, request, "gather")
        _make_store(run, task, None)
        assignment = Assignment(config, run.path, spaces, task, wanted, None)
        return _run(run, {"gather": processes.gather_process}, assignment, True, outcome)


def pretrain(config: Config, request: RunRequest, source: RunDirectory) -> int:
    """Fit a reward ensemble to stored labels. Returns the exit code."""
    config, spaces, task = _checked(config)
    given = _labels_given(source.path, config, task)
    if given < LEAST_INITIAL_LABELS:
        raise ConfigError(f"{source.path} has {given} labels; {LEAST_INITIAL_LABELS} are needed")
    with ended_by_signals() as outcome:
        run = _make_run(config, request, "pretrain", source.path)
        _make_store(run, task, source.path)
        assignment = Assignment(config, run.path, spaces, task, 0, None)
        return _run(run, {"reward": processes.pretrain_process}, assignment, True, outcome)


def evaluate(
    run_path: Path, checkpoint: str, episodes: int | None, seed: int | None, imports: Sequence[str]
) -> int:
    """Evaluate a saved policy of a run, and print what was found as JSON.

    Raises:
        ConfigError: It needs modules that are not among the imports.
        RunError: There is no such run, or it has no policy.
    """
    run = open_run(run_path)
    from prefrl.runs.trained import evaluate_run

    found = evaluate_run(run, checkpoint, episodes, seed, imports)
    print(json.dumps(finite(found), indent=2))
    return 0


def _checked(config: Config) -> tuple[Config, Any, dict[str, Any]]:
    """The settings with `auto` resolved, the task's shapes and its fingerprint."""
    if config.precision == "auto":
        config = dataclasses.replace(config, precision=fast_format())
    if "cuda" in (config.device, config.predictor.device):
        from prefrl.compute import prepare

        prepare(config)
    spaces = task_spaces(config.env)
    keypoints = config.policy.keypoints and config.predictor.keypoints
    if config.device == "auto" and (keypoints or not spaces.is_image):
        # Dense layers on a few numbers: the pendulum took twice as long on a GPU.
        config = dataclasses.replace(config, device="cpu")
    if config.label.labeler == "human" and config.reward == "learned":
        check_can_be_filmed(config.env)
    return config, spaces, fingerprint(config.env, spaces)


def _check_budget(config: Config) -> None:
    if config.label.budget < LEAST_INITIAL_LABELS:
        raise ConfigError(
            f"--labels {config.label.budget}: at least {LEAST_INITIAL_LABELS} are needed, "
            "to hold some out for validation"
        )


def _check_length(config: Config, random_clips: int) -> None:
    rollout = config.policy.n_envs * config.policy.n_steps
    random = round(random_clips * config.env.clip_length / config.policy.clip_fraction)
    if config.total_timesteps < rollout + random:
        raise ConfigError(
            f"--total-timesteps {config.total_timesteps}: {random} steps for the first clips and "
            f"one rollout of {rollout} need {random + rollout}"
        )


def _labels_given(labels_from: Path | None, config: Config, task: dict[str, Any]) -> int:
    """How many labels the other run has, which must be of this task.

    Where an oracle gave some, it must have compared the rewards that this run's compares.
    """
    if labels_from is None:
        return 0
    run = open_run(labels_from)
    with LabelStore.open(run.labels) as store:
        store.check_fingerprint(task)
        given = store.answered()
    _check_compared(f"--labels-from {labels_from}", run, config)
    return given


def _check_compared(source: str, run: RunDirectory, config: Config) -> None:
    """Refuse what an oracle taught that compared other rewards than this run's oracle does."""
    if config.label.labeler == "human" or config.label.budget == 0 or not run.labels.exists():
        return
    with LabelStore.open(run.labels) as store:
        if all(label.labeler != Oracle.name for label in store.labels()):
            return
    theirs = load_config(run.config).env
    for name in ("clip_rewards", "end_penalty"):
        there, here = getattr(theirs, name), getattr(config.env, name)
        if there != here:
            raise ConfigError(
                f"{source}: its oracle compares other rewards: "
                f"{name} is {there} there and {here} here"
            )


def _reward_given(reward_from: Path | None, config: Config, task: dict[str, Any]) -> Path | None:
    """The folder of the other run's ensemble, which must fit this task and network."""
    if reward_from is None:
        return None
    source = open_run(reward_from)
    folder, theirs = source.checkpoint("last"), load_config(source.config)
    fitted_to = load_reward(folder).task
    for key in ("environment", *fitted_to):
        there, here = fitted_to.get(key), task.get(key)
        if key != "clip_length" and there != here:
            raise ConfigError(
                f"--reward-from {reward_from}: {key} is {there!r} there and {here!r} here"
            )
    _check_compared(f"--reward-from {reward_from}", source, config)
    for name in (
        "inputs", "members", "standard_pixels", "keypoints", "hidden", "batch_norm", "optimiser",
    ):  # fmt: skip
        there, here = getattr(theirs.predictor, name), getattr(config.predictor, name)
        if there != here:
            raise ConfigError(
                f"--reward-from {reward_from}: predictor.{name} is {there} there and {here} here"
            )
    return folder


def _make_run(
    config: Config, request: RunRequest, command: str, labels_from: Path | None = None,
    reward_from: Path | None = None,
) -> RunDirectory:  # fmt: skip
    if request.run_dir and request.name:
        raise ConfigError("--run-dir and --name both say where the run lies: give one of them")
    if request.name and (request.name in {".", ".."} or "/" in request.name):
        raise ConfigError(f"--name {request.name}: a name has no slashes; --run-dir DIR has")
    task = config.env.id.split("/")[-1].lower()
    made = f"{task}-s{config.seed}-{datetime.now():%Y%m%d-%H%M%S}"
    path = request.run_dir or Path("runs") / (request.name or made)
    environment = exact_form(config.env)
    run = RunDirectory.create(path)
    StatusFile(run)  # before there is a configuration, which makes it a run: one that goes on
    started_as = {
        "prefrl_command": command,
        "labels_from": labels_from and str(labels_from),
        "reward_from": reward_from and str(reward_from),
    }
    write_json(run.config, to_dict(config))
    origin = provenance(config.seed, request.note, config.env.import_modules)
    write_json(run.provenance, origin | started_as | {"environment": environment})
    write_source(run, config.env.import_modules)
    return run


def _make_store(run: RunDirectory, task: dict[str, Any], labels_from: Path | None) -> None:
    try:
        with LabelStore.create(run.labels, task) as store:
            if labels_from is not None:
                with LabelStore.open(open_run(labels_from).labels) as source:
                    store.copy_from(source)
    except BaseException:
        shutil.rmtree(run.path)  # half of a run helps nobody; its name is free again
        raise


def _run(
    run: RunDirectory,
    targets: dict[str, Target],
    assignment: Assignment,
    learned: bool,
    outcome: Outcome,
    listening: tuple[socket.socket, str] | None = None,
) -> int:
    config, console, log = assignment.config, RunConsole(), RunLog(run)
    log.write(f"started: {', '.join(targets)}")
    console.print(f"run {run.path}", soft_wrap=True)
    write_settings(run, config)
    page = open_page(run, config.label, *listening, console) if listening else None
    budget = config.label.budget if learned else 0
    with Display(config.total_timesteps, budget, console, log) as display:
        launch(targets, assignment, display, outcome, page)
    outcome = dataclasses.replace(outcome)  # a signal that comes now changes nothing any more
    if outcome.traceback:
        log.write(outcome.traceback)
    log.write(f"{outcome.status} after {outcome.wall_s:.1f} s, exit code {outcome.exit_code}")
    record = result(config, outcome)
    write_json(run.result, record)
    write_results(run, record)
    show_traceback(outcome)
    _report(run, config, record, outcome, console)
    write_end(run, outcome.exit_code)
    return outcome.exit_code


def _report(
    run: RunDirectory,
    config: Config,
    record: dict[str, Any],
    outcome: Outcome,
    console: Console,
) -> None:
    """What a person wants to know at the end."""
    rows: list[tuple[str, str]] = [("status", record["status"])]
    returns = record["true_return"]
    if returns:
        best, random = record["best_possible"], record["random_return"]["mean"]
        text = f"{returns['mean']:.1f} (sd {returns['sd']:.1f}, {returns['episodes']} episodes)"
        rows.append(("true return", text))
        if best is not None:
            rows.append(("best possible", f"{best:.1f} (score {record['normalised_score']:.3f})"))
        rows.append(("random policy", f"{random:.1f}"))
    if record["labels"]:
        rows.append(("labels", str(record["labels"])))
    if record["env_steps"]:
        rows.append(("env steps", f"{record['env_steps']:,}"))
    if config.label.labeler == "human" and run.labels.exists() and pairs_waiting(run):
        rows.append(("label more", f"prefrl label {run.path}"))
        rows.append(("then train", f"prefrl train ENV --labeler human --labels-from {run.path}"))
    rows.append(("seconds", f"{outcome.wall_s:.1f}"))
    rows.append(("run", str(run.path)))
    if returns:
        from prefrl.runs.plots import learning_curve

        rows.append(("learning curve", str(learning_curve(run, record))))
        video = run.videos / "evaluation.mp4"
        rows += [("video", str(video))] if video.exists() else []
        rows.append(("TensorBoard", f"tensorboard --logdir {run.tensorboard}"))
    for name, value in rows:
        console.print(f"{name:>15}  {value}", soft_wrap=True)
    if returns and record["labels_unused"]:
        never = config.label.budget - record["labels"]
        too_late = record["labels_unused"] - never
        for count, what in ((never, "were never given"), (too_late, "came too late to teach")):
            if count > 0:
                text = f"warning: {count} of {config.label.budget} labels {what}"
                console.print(text, style="yellow", soft_wrap=True)
    if verdict := no_better_than_random(record):
        console.print(f"warning: {verdict}", style="yellow", soft_wrap=True)
