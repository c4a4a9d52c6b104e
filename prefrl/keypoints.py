"""Where things are on a frame, and where they move: an encoder of images for tasks about positions.

Behind convolutions, dense layers have to learn every position apart. Here each filter says one
thing of a frame: the centre of mass of its responses.

Source: the feature points of Levine et al. 2016 and Finn et al. 2016 (arXiv 1509.06113), who take
them of a softmax of the responses. Squares serve as well, have no temperature, and cost a tenth.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# At every pixel: filters in steps of two tell positions apart less well than frames half as large.
KERNEL = 3
NO_MASS = 1e-8  # of squared responses: a plain frame has no more
# A movement between two frames is far smaller than a frame: this brings both to about one size.
MOVEMENT_SCALE = 10.0


class Keypoints(nn.Module):
    """`[B, K, H, W] uint8` frames to `[sets, B, size] float32` points and movements.

    Args:
        filters: Of a set.
        frames: K, of a stack.
        side: H and W.
        sets: Independent sets of filters: one for each member of an ensemble.

    Attributes:
        size: Numbers of a set: two for each filter, of the newest frame and of each step to it.
        filters: Of all sets.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, filters: int, frames: int, side: Sequence[int], sets: int = 1) -> None:
        super().__init__()
        self.sets, self.size = sets, 2 * filters * frames
        self.filters = nn.Conv2d(1, sets * filters, KERNEL, padding=KERNEL // 2, bias=False)
        for name, pixels in zip(("rows", "columns"), side, strict=True):
            self.register_buffer(name, torch.linspace(-1, 1, pixels), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The points of the newest frame, then the movements; 0 where a frame shows nothing."""
        stacks, frames, *side = images.shape
        x = images.reshape(stacks * frames, 1, *side).float() / 255
        # Without its mean a plain background gives no response.
        responses = self.filters(x - x.mean((2, 3), keepdim=True)).square()
        mass = responses.sum((2, 3)).clamp_min(NO_MASS)
        sums = torch.stack([responses.sum(3) @ self.rows, responses.sum(2) @ self.columns], -1)
        points = (sums / mass[..., None]).view(stacks, frames, self.sets, -1)
        # Frames before an episode's first are black: from there nothing has moved.
        seen = (mass > NO_MASS).repeat_interleave(2, 1).view_as(points)
        moved = MOVEMENT_SCALE * points.diff(dim=1) * (seen[:, 1:] & seen[:, :-1])
        return torch.cat([points[:, -1:], moved], 1).permute(2, 0, 1, 3).flatten(2)
