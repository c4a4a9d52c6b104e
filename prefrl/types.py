"""The nouns: what the two processes, the store and the labelers hand to each other.

numpy only, so that the command line and the web page can import it at once. Shapes: `T` decisions
of a clip, `K` stacked frames, `H, W` pixels, `D` numbers of a vector observation, `M` ensemble
members, `B` a batch.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Answer = Literal["left", "right", "equal", "incomparable"]
ANSWERS: tuple[Answer, ...] = ("left", "right", "equal", "incomparable")

# A raw event, no answer: who stores it takes their last answer to the query back.
Withdrawn = Literal["withdrawn"]
WITHDRAWN: Withdrawn = "withdrawn"

# The probability that the left clip is better, for every answer that trains. "Incomparable" says
# nothing about the reward and trains nothing. Source: Christiano et al. 2017, section 2.2.3.
PREFERENCE_OF_ANSWER: Mapping[str, float] = {"left": 1.0, "right": 0.0, "equal": 0.5}


@dataclass(frozen=True, eq=False)  # compared by `id`; hashed as the object that it is
class Clip:
    """A trajectory segment of T steps, as the policy saw it.

    Attributes:
        observations: Images unstacked, `[T + K, H, W] uint8`: frames `t .. t + K - 1` are the stack
            before step t. Vectors raw, `[T + 1, D] float32`.
        starts: `[T + K] bool` for images, `[T + 1] bool` for vectors: this observation is the first
            of an episode. A start clears the frame stack: frames before it are seen as zeros.
        actions: `[T] int64` (Discrete) or `[T, A] float32` (Box), as the policy gave
            them: Box actions are scaled to -1 .. 1.
        true_rewards: `[T] float32`. The oracle and evaluation alone read them.
        env_step: The step, counted over all environments, at which the clip ended.

    Raises:
        ValueError: Lengths, dtypes or dimensions do not fit each other.
    """

    observations: NDArray[np.uint8] | NDArray[np.float32]
    starts: NDArray[np.bool_]
    actions: NDArray[np.int64] | NDArray[np.float32]
    true_rewards: NDArray[np.float32]
    env_step: int

    def __post_init__(self) -> None:
        expected = {1: (np.int64,), 2: (np.float32,)}.get(self.actions.ndim, ())
        if self.actions.dtype not in expected:
            raise ValueError(
                "actions: expected [T] int64 or [T, A] float32, "
                f"got {list(self.actions.shape)} {self.actions.dtype}"
            )
        expected = {3: (np.uint8,), 2: (np.float32,)}.get(self.observations.ndim, ())
        if self.observations.dtype not in expected:
            raise ValueError(
                "observations: expected [T + K, H, W] uint8 or [T + 1, D] float32, "
                f"got {list(self.observations.shape)} {self.observations.dtype}"
            )
        if self.true_rewards.shape != (len(self),) or self.true_rewards.dtype != np.float32:
            raise ValueError(
                f"true_rewards: expected [{len(self)}] float32, "
                f"got {list(self.true_rewards.shape)} {self.true_rewards.dtype}"
            )
        if self.starts.shape != self.observations.shape[:1] or self.starts.dtype != np.bool_:
            raise ValueError(
                f"starts: expected [{len(self.observations)}] bool, "
                f"got {list(self.starts.shape)} {self.starts.dtype}"
            )
        surplus = len(self.observations) - len(self)
        if surplus < 1 or (surplus != 1 and not self.is_image):
            raise ValueError(
                f"{len(self)} actions need {len(self) + 1} vector observations "
                f"(or at least as many frames), got {len(self.observations)}"
            )

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def is_image(self) -> bool:
        """Whether the observations are images."""
        return self.observations.ndim == 3

    @property
    def frame_stack(self) -> int:
        """K, the frames in one stacked observation (1 for vectors)."""
        return len(self.observations) - len(self)

    @cached_property
    def id(self) -> str:
        """A name from the content alone: equal in every interpreter, on every machine."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.observations, self.starts, self.actions, self.true_rewards):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def stacked(self) -> NDArray[np.uint8] | NDArray[np.float32]:
        """The T + 1 observations as the policy saw them.

        Returns:
            `[T + 1, K, H, W] uint8` for images (oldest frame first), `[T + 1, D] float32` else.
        """
        return self.stacked_by_frame(self.observations) if self.is_image else self.observations

    def stacked_by_frame(self, frames: NDArray[Any]) -> NDArray[Any]:
        """`[T + 1, K, ...]` as `stacked`, of whatever `[T + K, ...]` says of each frame."""
        positions = np.arange(len(self) + 1)[:, None] + np.arange(self.frame_stack)
        stacks: NDArray[Any] = frames[positions]  # a copy
        started_later = np.cumsum(self.starts[positions][:, ::-1], axis=1)[:, ::-1]
        # A frame is visible if no later frame of its stack starts an episode.
        visible = started_later - self.starts[positions] == 0
        stacks[~visible] = 0
        return stacks


@dataclass(frozen=True)
class TaskSpaces:
    """The shapes of a task, after images were made grey and small.

    Attributes:
        observation_shape: `(K, H, W)` for stacked images, `(D,)` for vectors.
        n_actions: How many discrete actions, or None where actions are vectors.
        action_size: A, the length of an action vector; 0 where actions are discrete.
    """

    observation_shape: tuple[int, ...]
    n_actions: int | None
    action_size: int

    @property
    def is_image(self) -> bool:
        """Whether observations are images."""
        return len(self.observation_shape) == 3


# What people are shown need not be wider; encoding takes some 10 ns for each byte of it.
FILM_WIDTH = 400


@dataclass(frozen=True, eq=False)
class Film:
    """What a person sees of a clip: the environment's own picture, `[T + 1, H, W, 3] uint8`.

    Attributes:
        frames: RGB. The first is the one before the first action; each is of the observation in
            the same place of the clip.
        frames_per_second: The speed at which it is shown.

    Raises:
        ValueError: Frames of another form, fewer than two, or no speed.
    """

    frames: NDArray[np.uint8]
    frames_per_second: float

    def __post_init__(self) -> None:
        shape, dtype = self.frames.shape, self.frames.dtype
        if dtype != np.uint8 or len(shape) != 4 or shape[0] < 2 or shape[3] != 3 or 0 in shape:
            raise ValueError(f"frames: expected [T + 1, H, W, 3] uint8, got {list(shape)} {dtype}")
        if not 0 < self.frames_per_second < float("inf"):
            raise ValueError(
                f"frames_per_second: expected more than 0, got {self.frames_per_second}"
            )


@dataclass(frozen=True)
class ClipPair:
    """What the policy offers to the reward side: two clips, and how far it has come.

    Attributes:
        first: A clip.
        second: Another.
        env_step: Steps so far, over all environments.
        films: What people see of the two; None where nobody will look.
        waits: It takes no more steps until it has a newer snapshot.
    """

    first: Clip
    second: Clip
    env_step: int
    films: tuple[Film, Film] | None = None
    waits: bool = False


@dataclass(frozen=True)
class Query:
    """A pair of clips that is put to labelers.

    Attributes:
        id: From the clips' ids, so that the same pair has the same name for ever.
        left: Id of the clip stored as the left one (which side it is shown on is the label's).
        right: Id of the other.
        env_step: How far the policy was when the query was asked.
        snapshot_version: Which reward snapshot chose it; 0 before the first.
        repeat_of: Set on a query that measures consistency: it never trains.
    """

    left: str
    right: str
    env_step: int = 0
    snapshot_version: int = 0
    repeat_of: str | None = None

    @cached_property
    def id(self) -> str:
        """A name from the clips: equal in every interpreter."""
        text = f"{self.left}:{self.right}:{self.repeat_of or ''}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def clips_for(pairs: int) -> int:
    """The fewest clips of which so many different pairs can be made."""
    return math.ceil((1 + math.sqrt(1 + 8 * pairs)) / 2)


@dataclass(frozen=True)
class Label:
    """One raw event: a fact, never changed. The last of each (query, labeler) counts.

    Attributes:
        id: Made by the labeler, so that an answer sent twice is stored once.
        query_id: The query that was answered.
        labeler: Who answered.
        answer: About the clips as stored in the query, whatever side they were shown on; or
            `withdrawn`, after which the query waits for this labeler again.
        answered_at: Seconds since the epoch, UTC.
        time_to_answer_s: From the showing to the answer; 0 for an oracle.
        shown_left: Id of the clip that stood on the left.
        snapshot_version: Which reward snapshot chose the query; 0 before the first.
    """

    id: str
    query_id: str
    labeler: str
    answer: Answer | Withdrawn
    answered_at: float
    time_to_answer_s: float
    shown_left: str
    snapshot_version: int = 0

    def __post_init__(self) -> None:
        known = (*ANSWERS, WITHDRAWN)
        if self.answer not in known:
            raise ValueError(f"answer: expected one of {', '.join(known)}, got {self.answer!r}")


@dataclass(frozen=True)
class Preference:
    """The target distribution of a query: an interpretation of its labels.

    Attributes:
        query_id: The query.
        left: The clip stored as the left one.
        right: The other.
        mu: Probability that the left one is better, the mean over the labelers.
    """

    query_id: str
    left: Clip
    right: Clip
    mu: float


@dataclass(frozen=True)
class RewardSnapshot:
    """A fitted reward ensemble, as sent to the policy.

    Attributes:
        version: 1 for the first of a run.
        weights: safetensors bytes: every member's weights and the statistics of its inputs.
        means: `[M] float64`, each member's mean reward over recent clips.
        deviations: `[M] float64`, each member's standard deviation over them, with a floor.
        n_labels: How many labels were known when its round began.
        pause_at_env_step: From this step on more labels are overdue than the schedule lets pass,
            so the policy waits here for a newer snapshot.
    """

    version: int
    weights: bytes
    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    n_labels: int
    pause_at_env_step: int


class RewardPredictor(Protocol):
    """What the policy knows of the reward side."""

    def predict(
        self,
        observations: NDArray[np.generic],
        actions: NDArray[np.generic],
        next_observations: NDArray[np.generic],
    ) -> NDArray[np.float32]:
        """Normalised rewards of a batch of steps.

        Args:
            observations: `[B, K, H, W] uint8` stacked images or `[B, D] float32` raw vectors.
            actions: `[B] int64` or `[B, A] float32`.
            next_observations: As observations, one step later.

        Returns:
            `[M, B] float32`, one row a member, each at the target mean and deviation.
        """
        ...


class Labeler(Protocol):
    """Someone who compares clips: an oracle or a person."""

    name: str

    def answer(self, query: Query, left: Clip, right: Clip) -> Label:
        """The label of one query."""
        ...
