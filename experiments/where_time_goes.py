"""Where does each millisecond of Pong go, in both processes, and what could two cores do at best?

Every part is timed by itself, with nothing beside it: the policy's for one step of all 16 games,
the reward process's for one label that a round reads (a pair of clips, three members) and for a
round. All on one thread, but the games, which ALE plays on both cores, and the policy's whole loop,
which is timed with a second thread between its rollouts too, and a core for each of ALE's: so is a
run's while no round is trained.

At best, no core ever waits: the core-seconds that a whole run needs from its first snapshot on,
over two. What is lost to that is waiting, for games or for labels, what a second thread does not
win, and what the two processes take from each other's caches.

Hypotheses: convolutions and what prepares pixels for them take more than half of both processes;
at best two cores make a third more steps than `speed.py` computes of a run.

    GOMP_SPINCOUNT=20000 python experiments/where_time_goes.py
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from seeds import write_rows
from speed import PONG, gather, machine, make_trainer, read_labels
from stable_baselines3.common.callbacks import BaseCallback
from whole_run import random_steps, rounds

from prefrl.compute import Placement, fast_format, prepare
from prefrl.config import Config
from prefrl.cores import KeptApart, compute_on
from prefrl.labels.store import LabelStore
from prefrl.policy.atari import AtariVecEnv
from prefrl.policy.loop import make_recorder
from prefrl.policy.model import ImageFeatures, build_model
from prefrl.policy.substitution import predict_rollout
from prefrl.policy.vec_env import make_vec_env, normalise
from prefrl.recipes import for_algo
from prefrl.reward.ensemble import predictor_of
from prefrl.reward.loss import preference_loss
from prefrl.reward.selection import most_disputed, random_pairs

TIMES = 30
STORED = "read from the store, once"
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


class RolloutsAndUpdates(BaseCallback):
    """Milliseconds of each of SB3's rollouts, and of each update after one on so many threads."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._threads = threads
        self.rollouts: list[float] = []
        self.updates: list[float] = []
        self._ended = float("nan")

    def _on_rollout_start(self) -> None:
        self._began = time.perf_counter()
        self.updates.append(1000 * (self._began - self._ended))
        compute_on(1)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._ended = time.perf_counter()
        self.rollouts.append(1000 * (self._ended - self._began))
        compute_on(self._threads)


def policy(config: Config, placement: Placement, threads: int) -> tuple[dict[str, float], float]:
    """Milliseconds of one step of all games by part; those of a core that the games need.

    Updates and predictions on so many threads; with two, ALE's keep to a core each.
    """
    recorder = make_recorder(config, lambda pair: True)
    venv = normalise(recorder, config, training=True)
    assert isinstance(venv.unwrapped, AtariVecEnv)
    KeptApart(venv.unwrapped.threads).keep(apart=threads == 2)
    model, phases = build_model(config, venv, placement), RolloutsAndUpdates(threads)
    n_envs, n_steps = config.policy.n_envs, config.policy.n_steps
    rollouts = 4 if config.policy.algo == "ppo" else 100
    model.learn(rollouts * n_steps * n_envs, callback=phases)
    compute_on(1)
    spent = recorder.stopwatch.seconds()
    parts = {
        "games": 1000 * spent["environment"] / (rollouts * n_steps),
        "clips are cut": 1000 * spent["record"] / (rollouts * n_steps),
    }
    seen, features = recorder.rollout[-1].observations, model.policy.features_extractor
    pixels = torch.from_numpy(seen)
    assert isinstance(features, ImageFeatures)
    with torch.no_grad():
        parts["pixels are standardised"] = ms(lambda: features.standard(pixels))
        deciding = ms(lambda: model.policy(pixels))
    parts["the network decides"] = deciding - parts["pixels are standardised"]
    rollout = statistics.mean(phases.rollouts) / n_steps
    parts["the rest of SB3's rollout"] = rollout - sum(parts.values())
    parts["update"] = statistics.mean(phases.updates[1:]) / n_steps  # the first follows nothing
    predictor, steps = make_trainer(config.predictor.members).ensemble, recorder.rollout[-n_steps:]
    compute_on(threads)
    parts["rewards are predicted"] = ms(lambda: predict_rollout(steps, predictor), 5) / n_steps
    compute_on(1)
    venv.close()
    return parts, core_ms_of_games(config)


def core_ms_of_games(config: Config) -> float:
    """Milliseconds of a core, over all threads, in which one step of all games is played."""
    games, rng = make_vec_env(config.env, config.policy.n_envs, 0), np.random.default_rng(0)
    games.reset()
    since, steps = time.process_time(), 200
    for _ in range(steps):
        games.step(rng.integers(6, size=config.policy.n_envs))
    taken = time.process_time() - since
    games.close()
    return 1000 * taken / steps


def reward(labels: Path, placement: Placement) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of one label that a round reads, and of what comes once in a round."""
    config, trainer = PONG.predictor, make_trainer(PONG.predictor.members)
    ensemble, network = trainer.ensemble, trainer.ensemble.network
    ring = read_labels(labels, config.members)
    with LabelStore.open(labels) as store:
        pool = store.newest_clips(PONG.label.pool_size)
    batch = ring.preferences[: config.batch_size]
    clips = [pair.left for pair in batch] + [pair.right for pair in batch]
    inputs = ensemble.spec.of_clips(clips)
    assert inputs.images is not None
    images, mu = torch.from_numpy(inputs.images), torch.tensor([pair.mu for pair in batch])

    def losses() -> torch.Tensor:
        sums = ensemble.forward(inputs, None).reshape(config.members, 2, len(batch), -1).sum(3)
        return preference_loss(sums, mu, 0.1).mean()

    def backward() -> None:
        trainer.optimiser.zero_grad()
        losses().backward()  # type: ignore[no-untyped-call]

    def loaded() -> object:
        snapshot, where = ensemble.snapshot(1, 0, 0), placement.predictor
        return predictor_of(snapshot, ensemble.spec, config, where, placement.autocast)

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
    since = time.perf_counter()
    read_labels(labels, config.members)
    a_label[STORED] = 1000 * (time.perf_counter() - since) / len(ring)
    wanted, recent = PONG.label.round_labels, pool[-config.normalise_over_clips :]
    pairs = random_pairs(pool, wanted * PONG.label.candidates, set(), np.random.default_rng(0))
    a_round = {
        "batch norm anew, losses measured": ms(lambda: trainer.fit(ring, 0), 2),
        "queries are chosen": ms(lambda: most_disputed(pairs, wanted, ensemble), 2),
        "rewards are normalised": ms(lambda: ensemble.normalise_over(recent), 2),
        "a snapshot is made and loaded": ms(loaded, 5),
    }
    return a_label, a_round


def alone(config: Config, step: dict[str, float]) -> float:
    """Steps a second without a reward process."""
    return 1000 * config.policy.n_envs / sum(step.values())


def at_best(
    config: Config, step: dict[str, float], games: float, label: dict[str, float], once: float
) -> float:
    """Steps a second of a whole run in which neither core ever waits."""
    learning_steps = config.total_timesteps - random_steps(config)
    a_step = sum(step.values()) - step["games"] + games
    predictor, new = config.predictor, config.label.budget - config.initial_labels
    reads = predictor.round_epochs * sum(min(n, predictor.ring) for n in rounds(config))
    reading_ms = reads * (sum(label.values()) - label[STORED]) + new * label[STORED]
    policy_ms = learning_steps / config.policy.n_envs * a_step
    return 2 * 1000 * learning_steps / (policy_ms + reading_ms + len(rounds(config)) * once)


def main() -> None:
    placement = prepare(replace(PONG, device="cpu", precision=fast_format()))
    rows: list[Row] = []

    def add(process: str, of: str, parts: dict[str, float]) -> None:
        whole = sum(parts.values())
        for name, taken in parts.items():
            row = {"process": process, "of": of, "part": name, "ms": f"{taken:.3g}"}
            rows.append(row | {"share": round(taken / whole, 3)})

    with tempfile.TemporaryDirectory() as folder:
        label, a_round = reward(gather(Path(folder)) / "labels.sqlite3", placement)
    add("reward", "a label that is read", label)
    add("reward", "a round", a_round)
    for algo in ("a2c", "ppo"):
        config = for_algo(PONG, algo)
        step, games = policy(config, placement, 1)
        add(f"policy, {algo}", "a step of 16 games", step)
        speeds = {
            "alone, one thread": alone(config, step),
            "alone, two between rollouts": alone(config, policy(config, placement, 2)[0]),
            "two cores at best": at_best(config, step, games, label, sum(a_round.values())),
        }
        for part, speed in speeds.items():
            rows.append({"process": f"policy, {algo}", "part": part, "steps_per_s": round(speed)})
    for row in rows:
        print(*row.values(), sep=", ")
    write_rows("where_time_goes", f"python experiments/{Path(__file__).name}; {machine()}", rows)


if __name__ == "__main__":
    main()
