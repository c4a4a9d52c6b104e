"""A policy at play: what was seen, what it did, what it earned and what the ensemble thinks of it.

`Replay` is all that a video or a page needs to know of it. On disk it is three files side by side:
the video, `.json` with the rewards step by step, and `.npz` with what clips can be cut from.
"""

import dataclasses
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from prefrl.policy.camera import check_can_be_filmed
from prefrl.policy.recorder import ClipRecorder, Step
from prefrl.policy.substitution import predict_rollout
from prefrl.policy.vec_env import clip_rewards, make_vec_env
from prefrl.run_directory import write_bytes, write_json
from prefrl.runs.evaluation import CHUNK, Act, evaluation_seed, policy_acts
from prefrl.runs.trained import Trained
from prefrl.types import Clip, RewardPredictor

FAST_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode of L steps.

    Attributes:
        pictures: L + 1 PNGs in the environment's own colours: before the first action, and after
            each. Frame t of a video shows `pictures[t]`.
        trajectory: What the policy saw and did, and the rewards that an oracle compares (clipped,
            with the penalty): one clip of L steps.
        true: `[L] float32`, the environment's own reward.
        predicted: `[M, L] float32`, the normalised reward of each member; None for the baseline.
        best_possible: The best return from this start, None where nobody knows.
    """

    pictures: tuple[bytes, ...]
    trajectory: Clip
    true: NDArray[np.float32]
    predicted: NDArray[np.float32] | None
    best_possible: float | None

    @cached_property
    def disagreement(self) -> NDArray[np.float32] | None:
        """`[L] float32`, the standard deviation over the members."""
        return None if self.predicted is None else self.predicted.std(0)

    def picture(self, t: int) -> NDArray[np.uint8]:
        """What was to be seen after t steps, `[H, W, 3] uint8`."""
        decoded = cv2.imdecode(np.frombuffer(self.pictures[t], np.uint8), cv2.IMREAD_COLOR_RGB)
        return np.asarray(decoded, np.uint8)


@dataclass(frozen=True, eq=False)
class Replay:
    """Episodes of one policy.

    Attributes:
        env_id: Where it plays.
        policy: A name of it, such as `last`.
        env_steps: After how many steps of training it was saved.
        seed: Of the first episode's environment, and of the actions.
        deterministic: Whether always the likeliest action was taken.
        frames_per_second: The speed of the game, a decision a frame.
        episodes: As they were played.
    """

    env_id: str
    policy: str
    env_steps: int
    seed: int
    deterministic: bool
    frames_per_second: float
    episodes: tuple[Episode, ...]

    def save(self, video: Path) -> None:
        """Write what a page needs beside the video: rewards as JSON, trajectories as arrays.

        The arrays are those of `Clip`, each with the number of its episode: `actions_0`.
        """
        head = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "episodes"
        }
        write_json(
            video.with_suffix(".json"),
            {"video": video.name, **head, "episodes": list(self._records())},
        )
        arrays = {
            f"{name}_{number}": getattr(episode.trajectory, name)
            for number, episode in enumerate(self.episodes)
            for name in ("observations", "starts", "actions", "true_rewards", "env_step")
        }
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_bytes(video.with_suffix(".npz"), content.getvalue())

    @property
    def is_last(self) -> bool:
        """Whether the policy is as old as the ensemble: of those a run keeps the last alone."""
        return self.policy == "last"

    def _records(self) -> Iterator[dict[str, Any]]:
        frame = 0
        for episode in self.episodes:
            predicted, disagreement = episode.predicted, episode.disagreement
            yield {
                "first_frame": frame,
                "steps": len(episode.trajectory),
                "true_return": float(episode.true.sum(dtype=np.float64)),
                "best_possible": episode.best_possible,
                "true_rewards": episode.true.tolist(),
                "predicted_rewards": None if predicted is None else predicted.tolist(),
                "disagreement": None if disagreement is None else disagreement.tolist(),
            }
            frame += len(episode.pictures)


def play(
    trained: Trained,
    policy: str,
    *,
    episodes: int = 1,
    seed: int | None = None,
    deterministic: bool = False,
    act: Act | None = None,
    most_steps: int | None = None,
) -> Replay:
    """Play episodes in a single environment, in its own colours.

    Args:
        trained: Whose play it is, where, and what rewards it.
        policy: Its name, as shown.
        episodes: How many.
        seed: Of environment and actions; by default that of the run's evaluation.
        deterministic: Take the likeliest actions.
        act: Another's actions, in place of the run's policy.
        most_steps: After so many an episode is cut off; by default it is played to its end.

    Raises:
        ConfigError: The environment cannot be made or rendered.
    """
    config = trained.config
    check_can_be_filmed(config.env, "there is nothing to see")
    seed = evaluation_seed(config) if seed is None else seed
    # Of Atari's two forms the Python one, which has a single game and its screen.
    env = dataclasses.replace(config.env, atari_backend="sb3")
    venv = make_vec_env(env, 1, seed, films=True)
    rng = np.random.default_rng(seed)
    recorder = ClipRecorder(
        clip_rewards(venv, env), env.clip_length, 0.0, False, lambda pair: False, rng
    )
    torch.manual_seed(seed)
    speed = float(venv.get_attr("frames_per_second")[0])
    act = act or policy_acts(trained.model, deterministic)
    observations = recorder.reset()
    assert isinstance(observations, np.ndarray)
    played = []
    # Changes no number format: inside it, torch keeps the weights that the networks' own autocast
    # has converted, and need not convert them for every single observation.
    with torch.autocast(trained.model.device.type, enabled=False):
        for _ in range(episodes):
            tape = _Tape(recorder, observations, trained.predictor, env.end_penalty)
            while not tape.ended and len(tape.actions) != most_steps:
                tape.step(act(tape.observations))
            played.append(tape.episode())
            observations = tape.observations
    recorder.close()
    steps = trained.env_steps
    return Replay(env.id, policy, steps, seed, deterministic, speed, tuple(played))


class _Tape:
    """An episode while it is played."""

    def __init__(
        self,
        recorder: ClipRecorder,
        observations: NDArray[np.generic],
        predictor: RewardPredictor | None,
        penalty: float,
    ) -> None:
        self.observations = observations  # `[1, ...]`, which the policy sees next
        self.ended = False
        self.actions: list[NDArray[np.generic]] = []
        self._recorder, self._predictor, self._penalty = recorder, predictor, penalty
        first = observations[0]
        self._is_image = first.ndim == 3
        self._seen = list(first.copy()) if self._is_image else [first.copy()]
        self._before = len(self._seen) - 1  # frames of a stack that are older than the episode
        self._true: list[float] = []
        self._compared: list[float] = []
        self._predicted: list[NDArray[np.float32]] = []
        self._pictures = [self._picture("picture")]
        self._best_possible: float | None = None

    def step(self, actions: NDArray[np.generic]) -> None:
        """Take a step and record it."""
        observations, _, dones, infos = self._recorder.step(actions)
        assert isinstance(observations, np.ndarray)
        self.observations, self.ended = observations, bool(dones[0])
        step = self._recorder.rollout[-1]
        after = step.next_observations[0]
        self._seen.append((after[-1] if self._is_image else after).copy())
        self.actions.append(step.actions[0])
        compared = float(step.true_rewards[0])
        self._true.append(compared + infos[0].get("withheld", 0.0))
        # As `HiddenEnds` has it; here the end shows.
        ends_by_itself = self.ended and not infos[0].get("TimeLimit.truncated", False)
        self._compared.append(compared - self._penalty * ends_by_itself)
        self._pictures.append(self._picture("last_picture" if self.ended else "picture"))
        if self.ended:
            self._best_possible = infos[0].get("best_possible_return")
        if self.ended or len(self._recorder.rollout) == CHUNK:
            self._predict()

    def episode(self) -> Episode:
        """All that was recorded."""
        self._predict()
        actions = np.stack(self.actions)
        starts = np.zeros(len(self._seen), np.bool_)
        starts[self._before] = True
        trajectory = Clip(
            observations=np.stack(self._seen),
            starts=starts,
            actions=actions.astype(np.int64) if actions.ndim == 1
            else actions.reshape(len(actions), -1).astype(np.float32),
            true_rewards=np.array(self._compared, np.float32),
            env_step=0,
        )  # fmt: skip
        predicted = np.concatenate(self._predicted, axis=1) if self._predicted else None
        return Episode(
            tuple(self._pictures), trajectory, np.array(self._true, np.float32), predicted,
            self._best_possible,
        )  # fmt: skip

    def _predict(self) -> None:
        steps: list[Step] = self._recorder.rollout
        if steps and self._predictor is not None:
            self._predicted.append(predict_rollout(steps, self._predictor)[:, :, 0])
        steps.clear()

    def _picture(self, method: str) -> bytes:
        """PNG: raw, the pictures of a long episode would not fit into memory."""
        picture = self._recorder.env_method(method)[0]
        _, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), FAST_PNG)
        return png.tobytes()
