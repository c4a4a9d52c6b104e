"""Where things are on a frame, and where they move: an encoder of images for tasks about positions.

Behind convolutions, dense layers have to learn every position apart. Here each filter says one
thing of a frame: the centre of mass of its squared responses.

A squared response is a sum over pairs of the pixels under the filter. So all that any filter can
say of a frame follows from products of near pixels, summed over the frame: `frame_moments` computes
them once, and filters are trained on those few numbers instead of on the pixels.

Source: the feature points of Levine et al. 2016 and Finn et al. 2016 (arXiv 1509.06113), who take
them of a softmax of the responses. Squares serve as well and have no temperature.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

KERNEL = 3
NO_MASS = 1e-6  # of squared responses: a plain frame has no more, a pixel one grey level off has
# A filter that a frame hardly moves: its mass is what is left of sums that are far larger, and no
# more exact.
NO_SHARE = 1e-5  # of the frame's squares times the filter's
# A point anywhere on a frame (-1 to 1), and a movement between two frames, which is far smaller:
# both come to a deviation of about 1.
POINT_SCALE, MOVEMENT_SCALE = 2.0, 20.0
CHUNK_PIXELS = 2**16  # whose products fit in a processor's cache

TAPS = list(itertools.product(range(KERNEL), repeat=2))  # (row, column) of a filter's weights
# How far apart two pixels under a filter can lie; of two opposite ways one.
OFFSETS = [
    (down, across)
    for down, across in itertools.product(range(KERNEL), range(1 - KERNEL, KERNEL))
    if down > 0 or across >= 0
]
MOMENTS = (3, len(OFFSETS))  # of a frame


@torch.no_grad()
def frame_moments(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What filters can say of frames `[..., H, W]`.

    Returns:
        `[..., 3, 13]`: for each offset the sum of the products of all pixels that far apart, and
        the same with the row and the column of their midpoint (-1 to 1) as weight. Of pixels as
        shares of 255, less the frame's mean: a plain frame has next to none, a black one none.
    """
    *lead, height, width = frames.shape
    pixels = torch.from_numpy(frames.reshape(-1, height, width))
    reach = KERNEL - 1
    weights = torch.stack([torch.ones(height, width), *_axes(height, width)]).flatten(1)
    moments = torch.empty(len(pixels), len(OFFSETS), len(weights))
    at_once = max(1, CHUNK_PIXELS // (height * width))
    products = torch.empty(at_once, len(OFFSETS), height, width)
    for start in range(0, len(pixels), at_once):
        x = pixels[start : start + at_once].float().div_(255)
        x.sub_(x.mean((1, 2), keepdim=True))
        padded = functional.pad(x, (reach, reach, 0, reach))
        for i, (down, across) in enumerate(OFFSETS):
            left = reach + across
            other = padded[:, down : down + height, left : left + width]
            torch.mul(x, other, out=products[: len(x), i])
        sums = products[: len(x)].flatten(2) @ weights.T
        moments[start : start + at_once] = sums
    # So far of the first pixel's place: from there to the middle of the two.
    shifts = torch.tensor(OFFSETS) / torch.tensor([height - 1, width - 1])
    moments[..., 1:] += moments[..., :1] * shifts
    return moments.transpose(1, 2).reshape(*lead, *MOMENTS).contiguous().numpy()


def _axes(height: int, width: int) -> tuple[Tensor, Tensor]:
    """`[H, W]` each: row and column, -1 to 1."""
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    return rows, columns


class Keypoints(nn.Module):
    """`[B, K, 3, 13]` moments of K frames to `[sets, B, size] float32` points and movements.

    Args:
        filters: Of a set.
        frames: K, of a stack.
        side: H and W.
        sets: Independent sets of filters: one for each member of an ensemble.
        generator: Draws the filters; by default PyTorch's own.

    Attributes:
        size: Numbers of a set: two for each filter, of the newest frame and of each step to it.
        filters: `[sets * filters, 9]`, of all sets. Their size changes no point.
    """

    pairs: Tensor

    def __init__(
        self,
        filters: int,
        frames: int,
        side: Sequence[int],
        sets: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.sets, self.size = sets, 2 * filters * frames
        self.filters = nn.Parameter(torch.empty(sets * filters, len(TAPS)))
        bound = 1 / math.sqrt(len(TAPS))  # as PyTorch's convolutions
        nn.init.uniform_(self.filters, -bound, bound, generator=generator)
        self.register_buffer("pairs", _pairs_of_taps(side), persistent=False)

    def forward(self, moments: Tensor) -> Tensor:
        """The points of the newest frame, then the movements; 0 where nothing responds."""
        stacks, frames = moments.shape[:2]
        of_frames = moments.flatten(0, 1)
        products = (self.filters[:, :, None] * self.filters[:, None, :]).flatten(1)
        same, *to_midpoints = products @ self.pairs  # [sets * filters, 13] each
        mass, *midpoints = (of_frames @ same.T).unbind(1)
        points = torch.stack(
            [
                midpoint - of_frames[:, 0] @ shift.T
                for midpoint, shift in zip(midpoints, to_midpoints, strict=True)
            ], -1,
        )  # fmt: skip
        squares = of_frames[:, 0, :1] * self.filters.square().sum(1)
        least = (NO_SHARE * squares).clamp_min(NO_MASS)
        seen = mass > least
        points = points / mass.where(seen, least)[..., None] * seen[..., None]
        points = points.view(stacks, frames, self.sets, -1)
        # Frames before an episode's first are black: from there nothing has moved.
        seen = seen.repeat_interleave(2, 1).view_as(points)
        moved = MOVEMENT_SCALE * points.diff(dim=1) * (seen[:, 1:] & seen[:, :-1])
        return torch.cat([POINT_SCALE * points[:, -1:], moved], 1).permute(2, 0, 1, 3).flatten(2)


def _pairs_of_taps(side: Sequence[int]) -> Tensor:
    """`[3, 81, 13]`: which offset lies between each two taps, and, in its place, how far below and
    to the right of the filter's middle the midpoint of the two is (a frame measures 2).
    """
    pairs = torch.zeros(3, len(TAPS) ** 2, len(OFFSETS))
    middle = torch.tensor([KERNEL - 1, KERNEL - 1])
    sizes = torch.tensor(side) - 1
    for i, (first, second) in enumerate(itertools.product(TAPS, repeat=2)):
        offset = (second[0] - first[0], second[1] - first[1])
        if offset not in OFFSETS:
            offset = (-offset[0], -offset[1])
        summed = torch.tensor(first) + torch.tensor(second)
        pairs[:, i, OFFSETS.index(offset)] = torch.tensor([1.0, *(summed - middle) / sizes])
    return pairs
