"""How pixels enter the convolutions of both networks."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prefrl.statistics import RunningStatistics

LEAST_DEVIATION = 1.0  # of 255: a plain screen is not blown up
LIMIT = 10.0  # deviations, as of vectors: a screen that was never seen before drowns nothing


def newest_frames(stacks: NDArray[np.generic]) -> NDArray[np.generic]:
    """`[B, H * W]` of `[B, C, H, W]`; older frames may stand before an episode's first."""
    return stacks[:, -1].reshape(len(stacks), -1)


class StandardPixels(nn.Module):
    """Each pixel less what it is on average, all over their common deviation.

    Most of a screen stays as it is: Pong's pixels deviate from their averages by 5 of 255. Without
    this a network first has to learn to look past what it always sees, which took the policy ten
    times as many steps on one seed. A module that was told of no statistics gives bytes as shares
    of 255, as the policy's in its first rollout.

    # Differs from the paper: it has the pixels as they are.

    Args:
        side: Height and width of a frame. All frames of a stack have the same statistics.
        dtype: What comes out.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, side: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("mean", torch.zeros(1, 1, *side))
        self.register_buffer("deviation", torch.tensor(255.0))

    def set(self, statistics: RunningStatistics) -> None:
        """Take over those of `newest_frames`."""
        # Whole grey levels, which bfloat16 tells apart.
        self.mean.copy_(torch.from_numpy(statistics.mean).round().view_as(self.mean))
        common = math.sqrt(statistics.squares.mean() / statistics.count)
        self.deviation.fill_(max(common, LEAST_DEVIATION))

    def forward(self, pixels: Tensor) -> Tensor:
        """`[B, C, H, W]` in channels-last layout; from pixels of 0 to 255."""
        # Bytes are reordered before they are widened: less memory to move. `contiguous` takes twice
        # as long for it.
        channels_last = torch.stack(pixels.unbind(1), dim=-1)
        x = channels_last.permute(0, 3, 1, 2).to(self.dtype)
        # Laid out as the pixels are: one mean for all channels takes several times as long.
        mean = self.mean.to(self.dtype).expand(1, *x.shape[1:])
        mean = mean.contiguous(memory_format=torch.channels_last)
        return x.sub_(mean).div_(self.deviation).clamp_(-LIMIT, LIMIT)
