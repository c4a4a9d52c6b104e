"""How good a policy is, and how well the predicted reward follows the true one."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from prefrl.config import Config
from prefrl.link import Stopped
from prefrl.policy.recorder import ClipRecorder, Step
from prefrl.policy.substitution import predict_rollout
from prefrl.policy.vec_env import make_vec_env
from prefrl.types import RewardPredictor

SEED_OFFSET = 2**30  # evaluation seeds lie apart from those of training
CHUNK = 128  # steps between two calls of the predictor

Act = Callable[[NDArray[np.generic]], NDArray[np.generic]]


@dataclass(frozen=True)
class EpisodeRewards:
    """One episode: rewards step by step, `[L]`.

    Attributes:
        true: The environment's own.
        predicted: The normalised mean over the members, or None without a predictor.
        best_possible: The best return from this start, or None where nobody knows.
    """

    true: NDArray[np.float64]
    predicted: NDArray[np.float64] | None
    best_possible: float | None


@dataclass(frozen=True)
class Evaluation:
    """Episodes of the policy's sampled actions, and as many of random ones."""

    final: list[EpisodeRewards]
    random: list[EpisodeRewards]


def evaluate(
    config: Config,
    model: OnPolicyAlgorithm,
    predictor: RewardPredictor | None,
    episodes: int,
    seed: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Play episodes with the policy's sampled actions, and as many at random.

    Args:
        config: Of the run.
        model: The policy; its VecNormalize statistics are used as they are.
        predictor: The learned reward, or None for the baseline.
        episodes: Of each.
        seed: Of the environments and actions; by default made from the run's own.
        stopped: Asked before each step.

    Raises:
        Stopped: In the middle.
    """
    venv = model.get_env()
    assert venv is not None
    seed = evaluation_seed(config) if seed is None else seed
    sampled = policy_acts(model)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)

    def at_random(observations: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.array([venv.action_space.sample() for _ in observations])

    venv.action_space.seed(int(rng.integers(2**31)))
    final = play(config, until(stopped, sampled), predictor, episodes, seed)
    return Evaluation(final, play(config, until(stopped, at_random), predictor, episodes, seed))


def until(stopped: Callable[[], bool], act: Act) -> Act:
    """The same actions, until all is to end: then `Stopped` is raised."""

    def acting(observations: NDArray[np.generic]) -> NDArray[np.generic]:
        if stopped():
            raise Stopped
        return act(observations)

    return acting


def summary(evaluation: Evaluation, clip_length: int) -> dict[str, Any]:
    """The evaluation fields of `result.json`."""
    final, random = evaluation.final, evaluation.random
    best = [e.best_possible for e in final if e.best_possible is not None]
    learned = final[0].predicted is not None
    return {
        "true_return": describe([e.true.sum() for e in final]),
        "random_return": describe([e.true.sum() for e in random]),
        "best_possible": float(np.mean(best)) if best else None,
        "normalised_score": _ratio(sum(e.true.sum() for e in final), sum(best)),
        "predicted_return": describe([e.predicted.sum() for e in final if e.predicted is not None])
        if learned
        else None,
        "reward_correlation": correlations(final, clip_length) if learned else None,
        "reward_correlation_random_policy": correlations(random, clip_length) if learned else None,
    }


def policy_acts(model: OnPolicyAlgorithm, deterministic: bool = False) -> Act:
    """How a policy acts on raw observations: by chance as in training, or always the likeliest."""
    venv = model.get_env()
    assert venv is not None

    calls = itertools.count()

    def act(observations: NDArray[np.generic]) -> NDArray[np.generic]:
        if model.use_sde and next(calls) % model.sde_sample_freq == 0:
            model.policy.reset_noise(len(observations))
        normalised = venv.normalize_obs(observations)  # type: ignore[attr-defined]
        return model.predict(normalised, deterministic=deterministic)[0]

    return act


def evaluation_seed(config: Config) -> int:
    """The first of the seeds on which a run's policy is evaluated."""
    return SEED_OFFSET + 1000 * config.seed


def play(
    config: Config, act: Act, predictor: RewardPredictor | None, episodes: int, seed: int
) -> list[EpisodeRewards]:
    """Whole episodes, their ends not hidden, without penalty.

    Each environment plays a number of episodes that is fixed beforehand: taking the first that
    finish would favour short ones.
    """
    n_envs = min(episodes, config.policy.n_envs)
    venv = make_vec_env(config.env, n_envs, seed)
    recorder = ClipRecorder(
        venv, config.env.clip_length, 0.0, False, lambda pair: False, np.random.default_rng(seed)
    )
    players = [_Player((episodes + i) // n_envs) for i in range(n_envs)]
    observations = recorder.reset()
    while any(player.missing for player in players):
        assert isinstance(observations, np.ndarray)
        observations, _, dones, infos = recorder.step(act(observations))
        for player, done, info in zip(players, dones, infos, strict=True):
            if done:
                player.best_possible.append(info.get("best_possible_return"))
        if len(recorder.rollout) == CHUNK or dones.any():
            _hand_out(recorder.rollout, predictor, players)
            recorder.rollout.clear()
    recorder.close()
    return [episode for player in players for episode in player.finished]


@dataclass
class _Player:
    """One environment during an evaluation."""

    missing: int
    true: list[float] = field(default_factory=list)
    predicted: list[float] = field(default_factory=list)
    best_possible: list[float | None] = field(default_factory=list)
    finished: list[EpisodeRewards] = field(default_factory=list)

    def end_episode(self) -> None:
        """Keep the open episode if one more was wanted."""
        best = self.best_possible.pop(0)
        if self.missing:
            self.missing -= 1
            learned = np.array(self.predicted) if self.predicted else None
            self.finished.append(EpisodeRewards(np.array(self.true), learned, best))
        self.true, self.predicted = [], []


def _hand_out(
    steps: Sequence[Step], predictor: RewardPredictor | None, players: Sequence[_Player]
) -> None:
    """Give each player its rewards of these steps."""
    predicted = predict_rollout(steps, predictor).mean(0) if predictor else None
    for t, step in enumerate(steps):
        for i, player in enumerate(players):
            player.true.append(float(step.true_rewards[i]))
            if predicted is not None:
                player.predicted.append(float(predicted[t, i]))
            if step.dones[i]:
                player.end_episode()


def correlations(
    episodes: Sequence[EpisodeRewards], clip_length: int
) -> dict[str, dict[str, float | None]]:
    """Predicted against true reward: per step, summed over clips, and over episodes.

    For sparse rewards only the sums mean something: a reward one step late is as good.
    """
    pairs = [(e.true, e.predicted) for e in episodes if e.predicted is not None]
    returns = [(true.sum(), predicted.sum()) for true, predicted in pairs]
    steps = np.concatenate([np.stack(pair, axis=1) for pair in pairs])
    return {
        "step": _both(steps),
        "clip": _both(clip_sums(episodes, clip_length)),
        "episode": _both(np.array(returns)),
    }


def clip_sums(episodes: Sequence[EpisodeRewards], clip_length: int) -> NDArray[np.float64]:
    """`[N, 2]` true and predicted reward, summed over stretches as long as a clip."""
    sums = [
        (e.true[i : i + clip_length].sum(), e.predicted[i : i + clip_length].sum())
        for e in episodes
        if e.predicted is not None
        for i in range(0, len(e.true) - clip_length + 1, clip_length)
    ]
    return np.array(sums, np.float64).reshape(-1, 2)


def describe(returns: Sequence[float]) -> dict[str, float | int]:
    """Mean, standard deviation, least and most of some returns."""
    values = np.asarray(returns, np.float64)
    return {
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "min": float(values.min()),
        "max": float(values.max()),
        "episodes": len(values),
    }


def _both(pairs: NDArray[np.float64]) -> dict[str, float | None]:
    """Pearson's and Spearman's coefficient; null where one side is constant."""
    if len(pairs) < 2 or (pairs.std(0) < 1e-9).any():
        return {"pearson": None, "spearman": None}
    import scipy.stats  # takes a second, which a replay need not wait for

    return {
        "pearson": float(scipy.stats.pearsonr(*pairs.T).statistic),
        "spearman": float(scipy.stats.spearmanr(*pairs.T).statistic),
    }


def _ratio(total: float, best: float) -> float | None:
    return float(total / best) if best else None
