"""A reward side between a policy and people or an oracle that are not there."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefrl.config import Config, LabelConfig, PolicyConfig, RewardConfig
from prefrl.labels.desk import LabelDesk
from prefrl.labels.oracle import Oracle
from prefrl.labels.store import LabelStore
from prefrl.metrics import Metrics
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.loop import RewardLoop
from prefrl.reward.trainer import Trainer
from prefrl.run_directory import RunDirectory
from prefrl.types import Answer, Clip, ClipPair, Film, Label, RewardSnapshot, TaskSpaces

torch.set_num_threads(1)

LENGTH, D = 4, 3
FILM = Film(np.zeros((LENGTH + 1, 2, 2, 3), np.uint8), 15.0)
SPACES = TaskSpaces((D,), 4, 0)
TASK = {"environment": "none"}

CONFIG = Config(
    policy=PolicyConfig(n_envs=1),
    predictor=RewardConfig(pretrain_epochs=2, round_epochs=1, hidden=(8, 8)),
    label=LabelConfig(budget=40, initial_fraction=0.25, round_labels=6, schedule_end=0.8),
    total_timesteps=1000,
)


class FakeLink:
    """What the policy would send, and what it would get."""

    def __init__(self) -> None:
        self.arriving: list[ClipPair] = []
        self.published: list[RewardSnapshot] = []
        self.core_is_left = False

    def waiting(self) -> float:
        return len(self.arriving)

    def receive(self) -> list[ClipPair]:
        pairs, self.arriving = self.arriving, []
        return pairs

    def publish(self, snapshot: RewardSnapshot) -> None:
        self.published.append(snapshot)

    def leave_core(self, free: bool) -> None:
        self.core_is_left = free


class Listener:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def progress(self, values: Mapping[str, float | str]) -> None:
        assert all(isinstance(value, float | int | str) for value in values.values())

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@dataclasses.dataclass
class Side:
    """A reward side and all that it was given."""

    loop: RewardLoop
    link: FakeLink
    listener: Listener
    policy_waited: list[bool]  # what the loop said of that, each time

    def turns(self) -> int:
        """Turn until there is nothing to do; how often there was."""
        for n in range(200):
            if not self.loop.turn():
                return n
        raise AssertionError("it never rests")

    def send(self, clips: list[Clip], env_step: int, waits: bool = False) -> None:
        """As the policy does, two by two; with films where people label."""
        films = (FILM, FILM) if self.loop.labeler is None else None
        for first, second in zip(clips[::2], clips[1::2], strict=True):
            self.link.arriving.append(ClipPair(first, second, env_step, films, waits))

    def answers(self, n: int, answer: Answer = "left") -> None:
        """Somebody answers so many queries, the oldest first."""
        for _ in range(n):
            self.loop.turn()  # puts the next pair before them
            self.lease_and_answer(1, answer)

    def lease_and_answer(self, n: int, answer: Answer = "left") -> None:
        """The same, of pairs that are there already."""
        desk = LabelDesk(self.loop.store, np.random.default_rng(0), repeat_share=0.0)
        for _ in range(n):
            now = time.time()
            (lease,) = desk.lease("anna", "page", 1, 60.0, now)
            label = Label(
                f"{lease.query.id}:anna", lease.query.id, "anna", answer, now, 1.0, lease.shown_left
            )
            desk.answer(label, "page", now)


MakeSide = Callable[..., Side]


def build_side(path: Path, config: Config, labeler: Any = None) -> Side:
    """A reward side; those with the same path share a run's directory and label store."""
    if labeler is None and config.label.labeler == "oracle":
        labeler = Oracle(np.random.default_rng(0))
    run = RunDirectory(path)
    if not run.labels.exists():
        run.path.mkdir()
        LabelStore.create(run.labels, TASK).close()
    generator = torch.Generator().manual_seed(0)
    ensemble = RewardEnsemble(
        InputSpec(SPACES, ("observation", "action")), config.predictor, torch.device("cpu"),
        torch.float32, generator,
    )  # fmt: skip
    link, listener, policy_waited = FakeLink(), Listener(), []
    loop = RewardLoop(
        config, run, TASK, LabelStore.open(run.labels),
        labeler, Trainer(ensemble, config.predictor, 0), link, Metrics(run, "reward"), listener,
        policy_waited.append,
    )  # fmt: skip
    return Side(loop, link, listener, policy_waited)


def some_clips(n: int, seed: int = 0, rewards: float | None = None) -> list[Clip]:
    rng = np.random.default_rng(seed)
    return [
        Clip(
            rng.normal(size=(LENGTH + 1, D)).astype(np.float32),
            np.zeros(LENGTH + 1, np.bool_),
            rng.integers(0, 4, LENGTH),
            rng.normal(size=LENGTH).astype(np.float32) if rewards is None
            else np.full(LENGTH, rewards, np.float32),
            seed * 1000 + i,
        )
        for i in range(n)
    ]  # fmt: skip


def with_label(**settings: Any) -> Config:
    return dataclasses.replace(CONFIG, label=dataclasses.replace(CONFIG.label, **settings))
