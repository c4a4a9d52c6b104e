"""The model of a labeler who compares two clips, and its loss."""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def preference_probability(clip_sums: Tensor, error_rate: float) -> Tensor:
    """Probability that the left clip is preferred.

    Bradley-Terry on the summed predicted rewards; with probability `error_rate` the labeler
    answers at random, whatever the difference. Source: paper, section 2.2.3.

    Args:
        clip_sums: `[M, 2, P]` summed rewards of the left and the right clips.
        error_rate: 0.1 in the paper.

    Returns:
        `[M, P]`, within `[error_rate / 2, 1 - error_rate / 2]`.
    """
    return (1 - error_rate) * torch.sigmoid(clip_sums[:, 0] - clip_sums[:, 1]) + error_rate / 2


def preference_loss(clip_sums: Tensor, mu: Tensor, error_rate: float) -> Tensor:
    """Cross-entropy between the labels and the prediction, of each member on each pair.

    Args:
        clip_sums: `[M, 2, P]`.
        mu: `[P]`, the labelled probability that the left clip is better.
        error_rate: As above.

    Returns:
        `[M, P]`.
    """
    difference = clip_sums[:, 0] - clip_sums[:, 1]
    by_chance = torch.tensor(error_rate / 2, dtype=difference.dtype, device=difference.device).log()
    # log p and log (1 - p) of `preference_probability`, which neither overflow nor lose gradient.
    log_left, log_right = (
        torch.logaddexp(logsigmoid(sign * difference) + math.log(1 - error_rate), by_chance)
        for sign in (1, -1)
    )
    return -(mu * log_left + (1 - mu) * log_right)
