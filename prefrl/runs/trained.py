"""What a run has learned, loaded from its tensors and JSON: no code of the run is executed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from prefrl.compute import Placement, prepare, without_gpu
from prefrl.config import Config
from prefrl.policy.checkpoint import load_policy
from prefrl.policy.environment import task_spaces
from prefrl.policy.model import build_model
from prefrl.policy.vec_env import make_vec_env, normalise
from prefrl.reward.checkpoint import load_reward
from prefrl.reward.ensemble import RewardEnsemble, predictor_of
from prefrl.reward.inputs import InputSpec
from prefrl.run_directory import RunDirectory, RunError
from prefrl.runs.evaluation import evaluate, summary
from prefrl.runs.foreign import config_of
from prefrl.types import RewardPredictor


@dataclass(frozen=True)
class Trained:
    """A run's policy and reward.

    Attributes:
        config: Of the run.
        model: The policy; its environment carries the normalisation.
        predictor: The reward ensemble; None for the baseline, and where nobody asks for rewards.
        env_steps: After how many steps the policy was saved.
    """

    config: Config
    model: OnPolicyAlgorithm
    predictor: RewardPredictor | None
    env_steps: int


def load_trained(
    run: RunDirectory, checkpoint: str = "last", imports: Sequence[str] = (), rewards: bool = True
) -> Trained:
    """The policy of a checkpoint, and the last reward.

    Args:
        run: Opened by `open_run`.
        checkpoint: `last`, `best` or the steps in a numbered one's name.
        imports: Modules that the run may import.
        rewards: Load the reward too, where one was learned.

    Raises:
        ConfigError: The configuration cannot be read or its environment cannot be made.
        RunError: There is no such checkpoint, or not the memory for its networks.
    """
    config = without_gpu(config_of(run, imports))
    placement = prepare(config)
    venv = normalise(make_vec_env(config.env, 1, config.seed), config, training=False)
    try:
        model = build_model(config, venv, placement)
    except (RuntimeError, MemoryError) as error:
        raise RunError(f"{run.path}: its policy cannot be built here: {_line(error)}") from error
    env_steps = load_policy(_folder(run, checkpoint), model)
    learned = rewards and config.reward == "learned"
    predictor = load_ensemble(run, config, placement) if learned else None
    return Trained(config, model, predictor, env_steps)


def load_ensemble(run: RunDirectory, config: Config, placement: Placement) -> RewardEnsemble:
    """The last reward ensemble of a run.

    Raises:
        RunError: There is none, or it is another network's.
    """
    folder = run.checkpoint("last")
    spec = InputSpec.of(task_spaces(config.env), config.predictor)
    try:
        snapshot = load_reward(folder).snapshot
        for numbers in (snapshot.means, snapshot.deviations):
            if numbers.shape != (config.predictor.members,):
                raise RuntimeError(f"{list(numbers.shape)} figures of normalisation")
        return predictor_of(
            snapshot, spec, config.predictor, placement.predictor, placement.autocast
        )
    except (RuntimeError, MemoryError, TypeError, AttributeError) as error:
        raise RunError(f"no reward ensemble of this run's in {folder}: {_line(error)}") from error


def _line(error: Exception) -> str:
    """What torch says in several lines, in one that is not too long."""
    return " ".join(str(error).split())[:200]


def _folder(run: RunDirectory, checkpoint: str) -> Path:
    there = sorted(path.name for path in run.checkpoints.glob("*") if path.is_dir())
    if checkpoint not in there:  # which no path that leads elsewhere is
        names = ", ".join(there) or "none"
        raise RunError(f"{run.path} has no policy {checkpoint!r}; its checkpoints: {names}")
    return run.checkpoint(checkpoint)


def evaluate_run(
    run: RunDirectory,
    checkpoint: str,
    episodes: int | None,
    seed: int | None,
    imports: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluate a run's saved policy anew; see `summary`."""
    trained = load_trained(run, checkpoint, imports)
    episodes = episodes or trained.config.evaluation_episodes
    found = evaluate(trained.config, trained.model, trained.predictor, episodes, seed)
    return summary(found, trained.config.env.clip_length)
