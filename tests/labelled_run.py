"""A run that was never trained, with pairs of synthetic films to label."""

import functools
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prefrl.config import Config, LabelConfig
from prefrl.config_file import to_dict
from prefrl.labels.desk import LabelDesk
from prefrl.labels.sheets import Sheets, make_sheets
from prefrl.labels.store import LabelStore
from prefrl.run_directory import RunDirectory, write_json
from prefrl.types import Clip, Film, Query

TOKENS = {"anna": "a" * 43, "ben": "b" * 43}
LENGTH = 25


@dataclass(frozen=True)
class LabelledRun:
    """The run and its store; close the store when done."""

    directory: RunDirectory
    store: LabelStore
    desk: LabelDesk

    @property
    def path(self) -> Path:
        return self.directory.path

    @property
    def queries(self) -> list[Query]:
        return self.store.pending("nobody")


def make_run(
    path: Path, pairs: int = 6, budget: int = 20, size: tuple[int, int] = (210, 160),
    labeler: Literal["oracle", "human"] = "oracle",
) -> LabelledRun:  # fmt: skip
    """A run with so many unanswered pairs; anna and ben are invited."""
    directory = RunDirectory.create(path)
    write_json(
        directory.config,
        to_dict(replace(Config(), label=LabelConfig(budget=budget, labeler=labeler))),
    )
    store = LabelStore.create(directory.labels, {"environment": "synthetic"})
    add_pairs(store, range(pairs), size)
    desk = LabelDesk(store, np.random.default_rng(0))
    for name, token in TOKENS.items():
        desk.add_invitation(name, token)
    return LabelledRun(directory, store, desk)


def add_pairs(store: LabelStore, numbers: range, size: tuple[int, int] = (210, 160)) -> None:
    clips, sheets, queries = {}, {}, []
    for number in numbers:
        pair = []
        for side in (0, 1):
            clip = make_clip(2 * number + side)
            clips[clip.id] = clip
            sheets[clip.id] = film_sheets(2 * number + side, size)
            pair.append(clip.id)
        queries.append(Query(*pair, env_step=number, snapshot_version=3))
    store.add_queries(queries, clips, sheets)


def make_clip(seed: int) -> Clip:
    rng = np.random.default_rng(seed)
    return Clip(
        observations=rng.normal(size=(LENGTH + 1, 3)).astype(np.float32),
        starts=np.zeros(LENGTH + 1, bool),
        actions=rng.integers(0, 4, LENGTH),
        # Rewards that would be recognised anywhere: none of them may reach a browser.
        true_rewards=np.full(LENGTH, 7654.321, np.float32),
        env_step=seed,
    )


@functools.cache  # drawing and compressing them is most of what a test of the page waits for
def film_sheets(seed: int, size: tuple[int, int]) -> Sheets:
    return make_sheets(Film(make_frames(seed, size), 15.0))


def make_frames(seed: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A bright ball on a path of its own, `[T + 1, H, W, 3]`."""
    height, width = size
    rng = np.random.default_rng(seed)
    ground = np.array([40 + 20 * (seed % 3), 60, 50 + 25 * (seed % 4)], np.uint8)
    frames = np.broadcast_to(ground, (LENGTH + 1, height, width, 3)).copy()
    frames[:, height // 2 - 1 : height // 2 + 1] = 120
    y0, speed, phase = rng.uniform(0.2, 0.8), rng.uniform(0.4, 1.0), rng.uniform(0, 6)
    rows, columns = np.mgrid[:height, :width]
    for t, frame in enumerate(frames):
        x = width * (0.1 + 0.8 * speed * t / LENGTH)
        y = height * (y0 + 0.15 * math.sin(phase + t / 5))
        near = (rows - y) ** 2 + (columns - x) ** 2 < (0.06 * width) ** 2
        frame[near] = (242, 193, 78)
        frame[:8, :8] = (4 * t, 0, 0)  # the frame's number, for tests to read
    return frames


def write_metrics(run: RunDirectory, lines: int = 60) -> None:
    """Figures like those of a run that learns."""
    run.metrics.mkdir(exist_ok=True)
    steps = [1024 * (i + 1) for i in range(lines)]
    rng = np.random.default_rng(1)

    def save(name: str, key: str, value) -> None:
        text = "".join(
            json.dumps({"step": step, key: float(value(i / lines)) + float(rng.normal() / 50)})
            + "\n"
            for i, step in enumerate(steps)
        )
        with (run.metrics / name).open("a") as file:
            file.write(text)

    save("policy.jsonl", "rollout/true_return", lambda x: -20 + 38 * x)
    save("policy.jsonl", "rollout/predicted_return", lambda x: 3 * math.sin(2 * x))
    save("policy.jsonl", "train/entropy_loss", lambda x: -1.8 + 1.2 * x)
    save("reward.jsonl", "reward/validation_accuracy", lambda x: 0.5 + 0.4 * x)
    save("reward.jsonl", "labels/answered", lambda x: round(180 * x))
    save("timing-reward.jsonl", "time/labels_per_s", lambda x: 0.4)
