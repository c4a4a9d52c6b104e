"""SB3's algorithm, built from our configuration and never from a pickle."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticCnnPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from prefrl.compute import Placement
from prefrl.config import Config, PolicyConfig
from prefrl.keypoints import Keypoints
from prefrl.pixels import StandardPixels
from prefrl.policy.vec_env import training_seed


class ImageFeatures(BaseFeaturesExtractor):
    """The convolutions of Mnih et al. 2015 on raw `[B, K, H, W]` pixels of 0 to 255."""

    def __init__(
        self, observation_space: spaces.Box, autocast: torch.dtype, features_dim: int = 512
    ) -> None:
        super().__init__(observation_space, features_dim)
        self._autocast = autocast
        channels, *side = observation_space.shape
        self.standard = StandardPixels(side, autocast)
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 8, 4), nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 4, 2), nn.ReLU(inplace=True),
            nn.Conv2d(64, 64, 3, 1), nn.ReLU(inplace=True),
            nn.Flatten(),
        )  # fmt: skip
        with torch.no_grad():
            flat = self.convolutions(torch.zeros(1, channels, *side)).shape[1]
        self.dense = nn.Sequential(nn.Linear(flat, features_dim), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        """`[B, features_dim] float32`."""
        pixels = self.standard(observations)
        with torch.autocast(pixels.device.type, self._autocast, self._autocast != torch.float32):
            features: Tensor = self.dense(self.convolutions(pixels))
        return features.float()


class PixelPolicy(ActorCriticCnnPolicy):
    """SB3's, whose extractor gets the bytes of images: SB3 makes them float32 first, each time.

    Still does, with the same numbers, where it asks for values or a distribution alone.
    """

    def extract_features(  # type: ignore[override]
        self, obs: Tensor, features_extractor: BaseFeaturesExtractor | None = None
    ) -> Tensor:
        """Of the extractor that is given, or of the one that actor and critic share."""
        features: Tensor = (features_extractor or self.features_extractor)(obs)
        return features


class KeypointFeatures(BaseFeaturesExtractor):
    """Where things are on frames, and where they move, from their moments `[B, K, 3, 13]`."""

    def __init__(
        self, observation_space: spaces.Box, n_keypoints: int, side: tuple[int, int]
    ) -> None:
        keypoints = Keypoints(n_keypoints, observation_space.shape[0], side)
        super().__init__(observation_space, keypoints.size)
        self.keypoints = keypoints

    def forward(self, observations: Tensor) -> Tensor:
        """`[B, size] float32`."""
        points: Tensor = self.keypoints(observations)
        return points[0]


@torch.no_grad()
def policy_inputs(policy: BasePolicy, observations: NDArray[Any]) -> NDArray[np.float32]:
    """`[B, ...]`: what convolutions meet, or dense layers where there are none."""
    features = policy.features_extractor
    entered = torch.from_numpy(observations).to(policy.device)
    if isinstance(features, ImageFeatures):
        entered = features.standard(entered)
    elif isinstance(features, KeypointFeatures):
        entered = features(entered)
    numbers: NDArray[np.float32] = entered.float().cpu().numpy()
    return numbers


def build_model(config: Config, venv: VecEnv, placement: Placement) -> OnPolicyAlgorithm:
    """PPO or A2C with the run's settings, freshly initialised.

    Args:
        config: Of the run.
        venv: What `normalise` made.
        placement: Where the network lives.
    """
    settings = config.policy
    is_image = venv.observation_space.dtype == np.uint8
    assert not (is_image and settings.keypoints), "keypoints want what `normalise` makes of images"
    common: dict[str, Any] = {
        "policy": PixelPolicy if is_image else "MlpPolicy",
        "env": venv,
        "learning_rate": _linear(settings),
        "n_steps": settings.n_steps,
        "gamma": settings.gamma,
        "gae_lambda": settings.gae_lambda,
        "ent_coef": settings.ent_coef,
        "vf_coef": settings.vf_coef,
        "max_grad_norm": settings.max_grad_norm,
        "use_sde": settings.use_sde,
        "sde_sample_freq": settings.sde_sample_freq if settings.use_sde else -1,
        "policy_kwargs": (
            _of_images(placement.autocast) if is_image else _of_numbers(config, venv)
        ),
        "seed": training_seed(config, 6),  # SB3 seeds the environments anew
        "device": placement.policy,
    }
    if settings.algo == "a2c":
        model: OnPolicyAlgorithm = A2C(**common)
    else:
        model = PPO(
            **common,
            batch_size=min(settings.batch_size, settings.n_steps * venv.num_envs),
            n_epochs=settings.n_epochs,
            clip_range=settings.clip_range,
        )
    if is_image:
        # Only now: SB3's orthogonal initialisation fails on channels-last weights.
        model.policy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _of_images(autocast: torch.dtype) -> dict[str, Any]:
    return {
        "normalize_images": False,  # the extractor does it
        "features_extractor_class": ImageFeatures,
        "features_extractor_kwargs": {"autocast": autocast},
        "net_arch": [],  # nothing between it and the heads; SB3 does so behind its own alone
    }


def _of_numbers(config: Config, venv: VecEnv) -> dict[str, Any]:
    """Of vectors, and of images' moments."""
    activations = {"tanh": nn.Tanh, "relu": nn.ReLU}
    dense: dict[str, Any] = {
        "net_arch": list(config.policy.net_arch),
        "activation_fn": activations[config.policy.activation],
    }
    if len(venv.observation_space.shape or ()) == 1:
        return dense
    side = (config.env.image_size, config.env.image_size)
    return dense | {
        "features_extractor_class": KeypointFeatures,
        "features_extractor_kwargs": {"n_keypoints": config.policy.keypoints, "side": side},
    }


def _linear(settings: PolicyConfig) -> Any:
    """The learning rate as a function of the share of training that is left."""
    first, last = settings.learning_rate, settings.learning_rate_end
    return lambda left: last + (first - last) * left
