"""Puts the predicted reward in the place of the true one."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer

from prefrl.policy.recorder import Step
from prefrl.types import RewardPredictor


def predict_rollout(steps: Sequence[Step], predictor: RewardPredictor) -> NDArray[np.float32]:
    """Normalised rewards of a rollout in one batch.

    Returns:
        `[M, n_steps, n_envs] float32`, one layer a member.
    """
    rows = len(steps) * len(steps[0].true_rewards)

    def flat(name: str) -> NDArray[np.generic]:
        values = np.stack([getattr(step, name) for step in steps])
        return values.reshape(rows, *values.shape[2:])

    actions = flat("actions")
    if actions.ndim > 1:
        actions = actions.reshape(rows, -1)
    rewards = predictor.predict(flat("observations"), actions, flat("next_observations"))
    return rewards.reshape(len(rewards), len(steps), -1)


def substitute(
    buffer: RolloutBuffer,
    rewards: NDArray[np.float32],
    values: torch.Tensor,
    dones: NDArray[np.bool_],
) -> None:
    """Add predicted rewards to a full rollout buffer and compute its advantages anew.

    The environments gave reward 0, so the buffer holds only what SB3 itself adds: the bootstrap at
    time limits. After this it is what it would be had every step given its predicted reward.

    Args:
        buffer: `[n_steps, n_envs]`, filled by SB3.
        rewards: `[n_steps, n_envs]`, the mean over the members.
        values: `[n_envs]`, SB3's value of the observations after the last step.
        dones: `[n_envs]`, which environments ended with the last step.
    """
    buffer.rewards += rewards
    buffer.compute_returns_and_advantage(last_values=values, dones=dones)
