"""What a run has learned, loaded from its tensors and JSON: no code of the run is executed."""

from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from prefrl.compute import prepare
from prefrl.config import Config
from prefrl.config_file import load_config
from prefrl.policy.checkpoint import load_policy
from prefrl.policy.environment import task_spaces
from prefrl.policy.model import build_model
from prefrl.policy.vec_env import make_vec_env, normalise
from prefrl.reward.checkpoint import load_reward
from prefrl.reward.ensemble import predictor_of
from prefrl.reward.inputs import InputSpec
from prefrl.run_directory import RunDirectory
from prefrl.runs.evaluation import evaluate, summary
from prefrl.types import RewardPredictor


@dataclass(frozen=True)
class Trained:
    """A run's policy and reward.

    Attributes:
        config: Of the run.
        model: The policy; its environment carries the normalisation.
        predictor: The reward ensemble, None for the baseline.
    """

    config: Config
    model: OnPolicyAlgorithm
    predictor: RewardPredictor | None


def load_trained(run: RunDirectory, checkpoint: str = "last") -> Trained:
    """The policy of a checkpoint, and the last reward.

    Raises:
        ConfigError: The configuration cannot be read or its environment cannot be made.
        RunError: There is no such checkpoint.
    """
    config = load_config(run.config)
    device, autocast = prepare(config)
    venv = normalise(make_vec_env(config.env, 1, config.seed), config, training=False)
    model = build_model(config, venv, device, autocast)
    load_policy(run.checkpoint(checkpoint), model)
    predictor = None
    if config.reward == "learned":
        snapshot = load_reward(run.checkpoint("last")).snapshot
        predictor = predictor_of(
            snapshot, InputSpec(task_spaces(config.env), config.predictor.inputs),
            config.predictor, device, autocast,
        )  # fmt: skip
    return Trained(config, model, predictor)


def evaluate_run(run: RunDirectory, episodes: int | None, seed: int | None) -> dict[str, Any]:
    """Evaluate a run's last policy anew; see `summary`."""
    trained = load_trained(run)
    episodes = episodes or trained.config.evaluation_episodes
    found = evaluate(trained.config, trained.model, trained.predictor, episodes, seed)
    return summary(found, trained.config.env.clip_length)
