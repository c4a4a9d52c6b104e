"""A video of one episode."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from prefrl.config import Config, EnvConfig
from prefrl.policy.atari_form import is_atari
from prefrl.policy.environment import make_env
from prefrl.policy.vec_env import make_vec_env
from prefrl.runs.evaluation import Act

MAX_FRAMES = 3000  # a video that nobody watches to the end helps nobody
LEAST_WIDTH = 320


class NoPictures(Exception):
    """The environment cannot be rendered; says why."""


def frames_per_second(config: EnvConfig) -> float:
    """Decisions a second at which the environment wants to be shown.

    Raises:
        NoPictures: It does not render `rgb_array`.
    """
    if is_atari(config.id):
        return 60 / config.atari_frame_skip
    env = make_env(config)
    metadata = env.metadata
    env.close()
    if "rgb_array" not in metadata.get("render_modes", ()):
        raise NoPictures(f"{config.id} does not render rgb_array")
    return float(metadata.get("render_fps", 30))


def episode_frames(config: Config, act: Act, seed: int) -> Iterator[NDArray[np.uint8]]:
    """The frames of one episode in the environment's own colours, `[H, W, 3] uint8`."""
    venv = make_vec_env(config.env, 1, seed, render_mode="rgb_array")
    observations = venv.reset()
    yield np.asarray(venv.env_method("render")[0], np.uint8)
    for _ in range(MAX_FRAMES):
        observations, _, dones, _ = venv.step(act(observations))  # type: ignore[arg-type]
        if dones[0]:
            break  # what could be rendered now is already the next episode
        yield np.asarray(venv.env_method("render")[0], np.uint8)
    venv.close()


def write_mp4(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> int:
    """Write H.264 that browsers play; small pictures are enlarged.

    Returns:
        How many frames were written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count, partial = 0, path.with_suffix(".partial.mp4")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=round(fps))
        stream.pix_fmt = "yuv420p"  # the only one all browsers play
        for frame in frames:
            picture = _enlarged(frame)
            if not count:
                stream.height, stream.width = picture.shape[:2]
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
            count += 1
        for packet in stream.encode():
            container.mux(packet)
    partial.replace(path)
    return count


def _enlarged(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At least 320 pixels wide, and even on both sides, as yuv420p needs."""
    scale = max(1, -(-LEAST_WIDTH // frame.shape[1]))
    height, width = (side * scale // 2 * 2 for side in frame.shape[:2])
    picture = cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(picture, np.uint8)
