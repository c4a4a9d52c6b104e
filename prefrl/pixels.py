"""How pixels enter the convolutions of both networks."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prefrl.statistics import RunningStatistics

LEAST_DEVIATION = 1.0  # of 255: a plain screen is not blown up
LIMIT = 10  # deviations, as of vectors: a screen that was never seen before drowns nothing


def newest_frames(stacks: NDArray[np.generic]) -> NDArray[np.generic]:
    """`[B, H * W]` of `[B, C, H, W]`; older frames may stand before an episode's first."""
    return stacks[:, -1].reshape(len(stacks), -1)


def channels_last(pixels: Tensor) -> Tensor:
    """The same pixels, `[B, C, H, W]`, in the layout that convolutions are fastest on."""
    if pixels.device.type != "cpu":
        return pixels.contiguous(memory_format=torch.channels_last)
    # OpenCV takes a half to a quarter of PyTorch's time for it, if the planes are few and long.
    batch, channels, height, width = pixels.shape
    planes = pixels.transpose(0, 1).reshape(channels, batch * height, width).numpy()
    merged = torch.from_numpy(cv2.merge(tuple(planes)))
    return merged.view(batch, height, width, channels).permute(0, 3, 1, 2)


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
        # Whole grey levels, and tenths: with them the limit is whole, too.
        self.mean.copy_(torch.from_numpy(statistics.mean).round().view_as(self.mean))
        common = math.sqrt(statistics.squares.mean() / statistics.count)
        self.deviation.fill_(round(max(common, LEAST_DEVIATION), 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """`[B, C, H, W]` in channels-last layout; from pixels of 0 to 255."""
        # Whole numbers for as long as they are: they take a fraction of the time.
        x = channels_last(pixels).to(torch.int16)
        # Laid out as the pixels are: one mean for all channels takes several times as long.
        mean = self.mean.to(torch.int16).expand(1, *x.shape[1:])
        mean = mean.contiguous(memory_format=torch.channels_last)
        limit = round(LIMIT * float(self.deviation))  # limits in tensors take fifteen times as long
        return x.sub_(mean).clamp_(-limit, limit).to(self.dtype).div_(self.deviation)
