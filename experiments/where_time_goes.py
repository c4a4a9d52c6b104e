"""Where does each millisecond of Pong go, in both processes, and what could two cores do at best?

Every part is timed by itself, one after the other, with nothing beside it: the policy's for one
step of all 16 games, the reward process's for one label that a round reads (a pair of clips, three
members) and for a round. All on one thread, but the games, which ALE plays on both cores. Medians.

At best, no core ever waits: the seconds of a core that a whole run needs, over two. What is lost to
that is waiting, for games or for labels, and what the two processes take from each other's caches.

    python experiments/where_time_goes.py
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pong_clips import compared, stored_clips
from seeds import write_rows
from speed import PONG, machine, make_trainer
from stable_baselines3.common.callbacks import BaseCallback
from whole_run import random_steps, rounds

from prefrl.compute import Placement, fast_format, keep_freed_memory
from prefrl.config import Config
from prefrl.labels.oracle import Oracle, answer_pending
from prefrl.labels.store import LabelStore
from prefrl.policy.loop import make_recorder
from prefrl.policy.model import ImageFeatures, build_model
from prefrl.policy.substitution import predict_rollout
from prefrl.policy.vec_env import make_vec_env, normalise
from prefrl.recipes import for_algo
from prefrl.reward.ensemble import predictor_of
from prefrl.reward.loss import preference_loss
from prefrl.reward.preferences import PreferenceRing
from prefrl.reward.selection import most_disputed, random_pairs
from prefrl.types import ClipPair, Preference, Query, RewardSnapshot

CPU = torch.device("cpu")
AUTOCAST = torch.bfloat16 if fast_format() == "bfloat16" else torch.float32
TIMES = 30
STORED = "stored, answered and read, once"
Row = dict[str, Any]


def ms(part: Callable[[], object], times: int = TIMES) -> float:
    """Median milliseconds, the first call left out."""
    part()
    taken = []
    for _ in range(times):
        since = time.perf_counter()
        part()
        taken.append(time.perf_counter() - since)
    return 1000 * statistics.median(taken)


class NoRewardSide:
    """A link that takes every pair and leads nowhere."""

    def offer(self, pair: ClipPair) -> bool:
        """Take it."""
        return True

    def latest_snapshot(self) -> RewardSnapshot | None:
        """There is none."""
        return None


class RolloutsAndUpdates(BaseCallback):
    """Milliseconds of each of SB3's rollouts and of each update after one."""

    def __init__(self) -> None:
        super().__init__()
        self.rollouts: list[float] = []
        self.updates: list[float] = []
        self._ended = float("nan")

    def _on_rollout_start(self) -> None:
        self._began = time.perf_counter()
        self.updates.append(1000 * (self._began - self._ended))

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._ended = time.perf_counter()
        self.rollouts.append(1000 * (self._ended - self._began))


def policy(config: Config) -> dict[str, float]:
    """Milliseconds of one step of all games."""
    rng, n_envs = np.random.default_rng(0), config.policy.n_envs
    games = make_vec_env(config.env, n_envs, 0)
    recorder = make_recorder(config, NoRewardSide())
    model = build_model(
        config, normalise(recorder, config, training=True), Placement(CPU, CPU, AUTOCAST)
    )
    features = model.policy.features_extractor
    assert isinstance(features, ImageFeatures)
    games.reset()
    recorder.reset()

    def act(venv: Any) -> Callable[[], object]:
        return lambda: venv.step(rng.integers(venv.action_space.n, size=n_envs))

    seen = torch.from_numpy(recorder.reset())
    with torch.no_grad():
        parts = {
            "games, on both cores": ms(act(games)),
            "clips are cut": ms(act(recorder)),
            "pixels are standardised": ms(lambda: features.standard(seen)),
            "the network decides": ms(lambda: model.policy(seen)),
        }
    parts["clips are cut"] -= parts["games, on both cores"]
    parts["the network decides"] -= parts["pixels are standardised"]
    n_steps, rollouts = config.policy.n_steps, 3 if config.policy.algo == "ppo" else 60
    phases = RolloutsAndUpdates()
    recorder.rollout.clear()
    model.learn(rollouts * n_steps * n_envs, callback=phases)
    rollout = statistics.median(phases.rollouts) / n_steps
    parts["the rest of SB3's rollout"] = rollout - sum(parts.values())
    parts["update"] = statistics.median(phases.updates[1:]) / n_steps  # the first follows nothing
    predictor = make_trainer(config.predictor.members).ensemble
    steps = recorder.rollout[-n_steps:]
    parts["rewards are predicted"] = ms(lambda: predict_rollout(steps, predictor), 5) / n_steps
    for venv in (games, recorder):
        venv.close()
    return parts


def reward() -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of one label that a round reads, and of what comes once in a round."""
    config, trainer = PONG.predictor, make_trainer(PONG.predictor.members)
    ensemble, network = trainer.ensemble, trainer.ensemble.network
    training, _ = stored_clips()
    labels = compared(training, 500)
    ring = PreferenceRing(len(labels), config.members)
    for preference in labels:
        ring.set(preference.query_id, preference)
    batch = labels[: config.batch_size]
    clips = [pair.left for pair in batch] + [pair.right for pair in batch]
    inputs = ensemble.spec.of_clips(clips)
    assert inputs.images is not None
    images = torch.from_numpy(inputs.images)
    mu = torch.tensor([pair.mu for pair in batch])

    def losses() -> torch.Tensor:
        sums = ensemble.forward(inputs, None).reshape(config.members, 2, len(batch), -1).sum(3)
        return preference_loss(sums, mu, 0.1).mean()

    def backward() -> None:
        trainer.optimiser.zero_grad()
        losses().backward()  # type: ignore[no-untyped-call]

    network.train()
    with torch.no_grad():
        pixels = ms(lambda: network.entering(images), 10)
    forward, both = ms(losses, 10), ms(backward, 10)
    a_batch = {
        "clips are stacked": ms(lambda: ensemble.spec.of_clips(clips), 10),
        "pixels are standardised": pixels,
        "forward": forward - pixels,
        "backward": both - forward,
        "optimiser": ms(trainer.optimiser.step, 10),
    }
    a_label = {name: taken / len(batch) for name, taken in a_batch.items()}
    a_label[STORED] = storing(labels)
    wanted = PONG.label.round_labels
    pairs = random_pairs(training, wanted * PONG.label.candidates, set(), np.random.default_rng(0))
    a_round = {
        "batch norm anew, losses measured": ms(lambda: trainer.fit(ring, 0), 2),
        "queries are chosen": ms(lambda: most_disputed(pairs, wanted, ensemble), 2),
        "rewards are normalised": ms(lambda: ensemble.normalise_over(training), 2),
        "a snapshot is made and loaded": ms(lambda: predictor_of(
            ensemble.snapshot(1, 0, 0), ensemble.spec, config, CPU, AUTOCAST
        ), 5),
    }  # fmt: skip
    return a_label, a_round


def storing(labels: Sequence[Preference]) -> float:
    """Milliseconds to store a pair of clips, have it answered, and read it decompressed."""
    clips = {clip.id: clip for pair in labels for clip in (pair.left, pair.right)}
    queries = [Query(pair.left.id, pair.right.id) for pair in labels]
    with (
        tempfile.TemporaryDirectory() as folder,
        LabelStore.create(Path(folder) / "labels.sqlite3", {}) as store,
    ):
        since = time.perf_counter()
        store.add_queries(queries, clips)
        answer_pending(store, Oracle(np.random.default_rng(0)))
        store.changes_since(0)
        return 1000 * (time.perf_counter() - since) / len(labels)


def at_best(config: Config, step: dict[str, float], label: dict[str, float], once: float) -> float:
    """Steps a second of a whole run in which neither core ever waits."""
    learning_steps = config.total_timesteps - random_steps(config)
    a_step = sum(step.values()) + step["games, on both cores"]  # twice: both cores
    predictor, stored = config.predictor, label[STORED]
    reads = predictor.round_epochs * sum(min(n, predictor.ring) for n in rounds(config))
    reading_ms = reads * (sum(label.values()) - stored) + config.label.budget * stored
    rounds_ms = len(rounds(config)) * once
    policy_ms = learning_steps / config.policy.n_envs * a_step
    return 2 * 1000 * learning_steps / (policy_ms + reading_ms + rounds_ms)


def main() -> None:
    keep_freed_memory()
    torch.set_num_threads(1)
    label, a_round = reward()
    rows: list[Row] = []

    def add(process: str, of: str, parts: dict[str, float]) -> None:
        whole = sum(parts.values())
        for name, taken in parts.items():
            row = {"process": process, "of": of, "part": name, "ms": f"{taken:.3g}"}
            rows.append(row | {"share": round(taken / whole, 3)})

    for algo in ("a2c", "ppo"):
        config = for_algo(PONG, algo)
        step = policy(config)
        add(f"policy, {algo}", "a step of 16 games", step)
        best = at_best(config, step, label, sum(a_round.values()))
        alone = 1000 * config.policy.n_envs / sum(step.values())
        rows.append({"process": f"policy, {algo}", "part": "steps/s alone", "ms": round(alone)})
        rows.append({"process": "both", "part": f"steps/s at best, {algo}", "ms": round(best)})
    add("reward", "a label that is read", label)
    add("reward", "a round", a_round)
    for row in rows:
        print(*row.values(), sep=", ")
    write_rows("where_time_goes", f"python experiments/{Path(__file__).name}; {machine()}", rows)


if __name__ == "__main__":
    main()
