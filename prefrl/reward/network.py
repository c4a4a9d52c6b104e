"""The predictor's network: all members of the ensemble side by side, as one batch.

Member m owns a group of channels of each convolution and a slice of each dense layer, so members
share no weight, and nothing but how inputs are standardised, yet a minibatch passes through all of
them in one call.

Source: Christiano et al. 2017, appendix A: convolutions 7x7, 5x5, 3x3, 3x3 with strides 3, 2, 1, 1
and 16 filters each, batch norm and dropout on each, then a dense layer of 64; on vectors two dense
layers of 64; leaky ReLU 0.01 throughout.
# Differs from the paper: images can pass filters into keypoints, and then the layers of vectors.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from prefrl.config import RewardConfig
from prefrl.keypoints import Keypoints
from prefrl.pixels import StandardPixels
from prefrl.reward.inputs import InputSpec

CONVOLUTIONS = ((7, 3), (5, 2), (3, 1), (3, 1))  # (kernel, stride); paper, appendix A.2
FILTERS = 16
DENSE = 64
LEAK = 0.01


@dataclass(frozen=True)
class PairDropout:
    """Dropout for a batch whose first half holds the left clips' steps, the second the right's.

    One mask for each pair and frame index, shared by both clips: noise that hits both clips alike
    cancels in their comparison. Source: the 2018 reproduction, which shared the seed of both legs.
    """

    probability: float
    shared: bool
    generator: torch.Generator

    def __call__(self, x: Tensor) -> Tensor:
        """Drop elements of `x [2N, C, H, W]` and scale up the rest."""
        if not self.probability:
            return x
        _, channels, height, width = x.shape
        rows = len(x) // 2 if self.shared else len(x)
        mask = self._mask((rows, height, width, channels), x).permute(0, 3, 1, 2)
        return (x.view(-1, rows, channels, height, width) * mask).flatten(0, 1)

    def _mask(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        # Eight bytes a draw: drawing each element's own float takes 30 times as long on a CPU.
        words = torch.empty(-(-math.prod(shape) // 8), dtype=torch.int64, device=like.device)
        random_bytes = words.random_(-(2**63), None, generator=self.generator).view(torch.uint8)
        dropped = round(self.probability * 256)
        kept = random_bytes[: math.prod(shape)].view(shape) >= dropped
        return kept.to(like.dtype).mul_(256 / (256 - dropped))


class MemberLinear(nn.Module):
    """A dense layer for each member: `[M, B, inputs] -> [M, B, outputs]`."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Apply each member's layer to its own rows."""
        return torch.baddbmm(self.bias, x, self.weight)


class RewardNetwork(nn.Module):
    """Rewards of a batch of steps by every member.

    Args:
        spec: What the predictor sees.
        config: Sizes, dropout, batch norm.
        generator: Draws the initial weights.
        autocast: Number format of the convolutions.
    """

    input_mean: Tensor
    input_deviation: Tensor

    def __init__(
        self,
        spec: InputSpec,
        config: RewardConfig,
        generator: torch.Generator,
        autocast: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        assert spec.moments == (spec.spaces.is_image and config.keypoints > 0), "see InputSpec.of"
        self.members, self.autocast = config.members, autocast
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        self.keypoints: Keypoints | None = None
        self.standard: StandardPixels | None = None
        features, widths = 0, list(config.hidden)
        if spec.moments:
            side = spec.spaces.observation_shape[1:]
            self.keypoints = Keypoints(
                config.keypoints, spec.channels, side, config.members, generator
            )
            features = self.keypoints.size
        elif spec.spaces.is_image:
            self.standard = StandardPixels(spec.spaces.observation_shape[1:], autocast)
            features, widths = self._build_convolutions(spec, config.batch_norm), [DENSE]
        sizes = [features + spec.vector_size, *widths, 1]
        self.dense = nn.ModuleList(
            MemberLinear(config.members, *pair) for pair in itertools.pairwise(sizes)
        )
        self.register_buffer("input_mean", torch.zeros(spec.vector_size))
        self.register_buffer("input_deviation", torch.ones(spec.vector_size))
        self._initialise(generator)
        # oneDNN's convolutions are fastest on channels-last weights.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, images: Tensor | None, vectors: Tensor, dropout: PairDropout | None = None
    ) -> Tensor:
        """Unnormalised rewards.

        Args:
            images: `[B, C, H, W] uint8`, or what `StepInputs` has in their place.
            vectors: `[B, D] float32`, raw.
            dropout: Only in training; without it nothing is dropped.

        Returns:
            `[M, B] float32`.
        """
        scaled = self.scaled(vectors)
        x = scaled.expand(self.members, *scaled.shape)
        if images is not None:
            x = torch.cat([self._features(images, dropout), x], dim=2)
        for layer in self.dense[:-1]:
            x = functional.leaky_relu(layer(x), LEAK)
        rewards: Tensor = self.dense[-1](x)
        return rewards.squeeze(2)

    def scaled(self, vectors: Tensor) -> Tensor:
        """Vectors as they enter the dense layers. Normalised here and only here."""
        return ((vectors - self.input_mean) / self.input_deviation).clamp(-10, 10)

    def entering(self, images: Tensor) -> Tensor:
        """What convolutions meet of images; `[B, M, F]` what dense layers do of keypoints."""
        if self.keypoints is not None:
            points: Tensor = self.keypoints(images)
            return points.transpose(0, 1)
        assert self.standard is not None
        pixels: Tensor = self.standard(images)
        return pixels

    def weight_squares(self) -> Tensor:
        """`[M]`: each member's sum of squared weights (no biases, no batch-norm scales, and no
        filters of keypoints, whose size changes nothing).
        """
        squares = [
            layer.weight.square().reshape(self.members, -1).sum(1)
            for layer in (*self.convolutions, *self.dense)
        ]
        return torch.stack(squares).sum(0)

    def _features(self, images: Tensor, dropout: PairDropout | None) -> Tensor:
        """`[M, B, F] float32` from the encoder; raw pixels come in."""
        x = self.entering(images)
        if self.keypoints is not None:
            return x.transpose(0, 1)
        with torch.autocast(x.device.type, self.autocast, self.autocast != torch.float32):
            for convolution, norm in zip(self.convolutions, self.norms, strict=True):
                x = functional.leaky_relu(norm(convolution(x)), LEAK, inplace=True)
                x = dropout(x) if dropout else x
        grouped = x.reshape(len(x), self.members, -1)
        return grouped.transpose(0, 1).float()

    def _build_convolutions(self, spec: InputSpec, batch_norm: bool) -> int:
        """Add the convolutions; returns the features a member gets from them."""
        channels, groups = spec.channels, 1  # the first layer sees one input for all members
        side = torch.tensor(spec.spaces.observation_shape[1:])
        for kernel, stride in CONVOLUTIONS:
            outputs = FILTERS * self.members
            self.convolutions.append(nn.Conv2d(channels, outputs, kernel, stride, groups=groups))
            self.norms.append(nn.BatchNorm2d(outputs) if batch_norm else nn.Identity())
            channels, groups = outputs, self.members
            side = (side - kernel) // stride + 1
        return FILTERS * int(side.prod())

    def _initialise(self, generator: torch.Generator) -> None:
        """PyTorch's default for dense and convolutional layers, from a generator of our own."""
        for layer in (*self.convolutions, *self.dense):
            fan_in = (
                layer.weight.shape[1]
                if isinstance(layer, MemberLinear)
                else math.prod(layer.weight.shape[1:])
            )
            bound = 1 / math.sqrt(fan_in)
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)


def batch_norms(network: RewardNetwork) -> Sequence[nn.BatchNorm2d]:
    """The network's batch norms; none on vectors and keypoints."""
    return [norm for norm in network.norms if isinstance(norm, nn.BatchNorm2d)]
