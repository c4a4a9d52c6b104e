"""What does it cost to film the clips that people label?

First: which way to Atari's colours is cheapest, by stepping alone (Pong, 8 games, actions at
random, all windows filmed)?
- grey: ALE's vector environment as it plays in synthetic runs; no films.
- colour: the same at its own size in RGB, greyed and resized by us.
- shadow: two of them with equal seeds and actions, one grey, one in colour.
- python: SB3's wrappers around single games, pictures by `render()`.

Then: how much slower is PPO with films than without, on Pong, the moving dot (position) and the
pendulum? Clips go to another process, as in a run. Rewards are the true ones, so nothing is
predicted or fitted: a real run has more to do beside the films, and loses a smaller share.

Hypothesis: colour is the cheapest, and films cost at most 10% of the training speed (medians).
Each figure is taken in turn with what it is compared to, five times; all are in the CSV.
Last: nanoseconds from `put` to `get` for each byte of a film in a queue between processes. The
other figures are steps a second.
"""

import csv
import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv

from prefrl.compute import fast_format, prepare
from prefrl.config import Config, EnvConfig
from prefrl.policy.films import FILM_SHARE, FilmStudio
from prefrl.policy.model import build_model
from prefrl.policy.recorder import ClipRecorder
from prefrl.policy.vec_env import hide_ends, make_vec_env, normalise
from prefrl.recipes import RECIPES
from prefrl.types import ClipPair, Film

ROUNDS, N_ENVS, STEPS, SECONDS = 5, 8, 500, 8.0
PONG = EnvConfig(id="ALE/Pong-v5")
PYTHON_PONG = EnvConfig(id="ALE/Pong-v5", atari_backend="sb3")
Row = tuple[str, str, int, float, float]


def stepping() -> list[Row]:
    """Steps a second of each way to play Pong."""
    ways: dict[str, list[VecEnv]] = {
        "grey": [make_vec_env(PONG, N_ENVS, 0)],
        "colour": [make_vec_env(PONG, N_ENVS, 0, films=True)],
        "shadow": [make_vec_env(PONG, N_ENVS, 0), make_vec_env(PONG, N_ENVS, 0, films=True)],
        "python": [make_vec_env(PYTHON_PONG, N_ENVS, 0, films=True)],
    }
    for venvs in ways.values():
        for venv in venvs:
            venv.reset()
    return [
        ("stepping", way, turn, *_play(venvs, filmed=way != "grey"))
        for turn in range(ROUNDS)
        for way, venvs in ways.items()
    ]


def _play(venvs: list[VecEnv], filmed: bool) -> tuple[float, float]:
    """Steps and films a second. Only the last of the environments is filmed."""
    rng, everywhere = np.random.default_rng(0), np.arange(N_ENVS)
    studio = FilmStudio(venvs[-1]) if filmed else None
    since = time.perf_counter()
    for t in range(STEPS):
        if studio is not None and t % PONG.clip_length == 0:
            studio.begin(everywhere)
        actions = rng.integers(6, size=N_ENVS)
        for venv in venvs:
            venv.step_async(actions)
        dones = [venv.step_wait()[2] for venv in venvs][-1]
        if studio is not None:
            studio.go_on(everywhere, dones)
        if studio is not None and t % PONG.clip_length == PONG.clip_length - 1:
            for i in everywhere:
                studio.finish(int(i))
    films = STEPS // PONG.clip_length * N_ENVS if filmed else 0
    seconds = time.perf_counter() - since
    return STEPS * N_ENVS / seconds, films / seconds


def training(recipe: str, offer: Callable[[ClipPair], bool]) -> list[Row]:
    """Steps a second of PPO without and with films."""
    return [
        (recipe, "films" if films else "none", turn, *_train(RECIPES[recipe].config, films, offer))
        for turn in range(ROUNDS)
        for films in (False, True)
    ]


def _train(config: Config, films: bool, offer: Callable[[ClipPair], bool]) -> tuple[float, float]:
    venv = hide_ends(make_vec_env(config.env, config.policy.n_envs, 0, films=films), config.env)
    rng = np.random.default_rng(0)
    recorder = ClipRecorder(venv, config.env.clip_length, 1.0, True, offer, rng, films)
    if recorder.studio is not None:
        recorder.studio.share = FILM_SHARE
    placement = prepare(replace(config, device="cpu", precision=fast_format()))
    normalised = normalise(recorder, config, training=True)
    model = build_model(config, normalised, placement)
    rollout = config.policy.n_steps * config.policy.n_envs
    model.learn(rollout)
    before, since = (recorder.env_steps, recorder.pairs_sent), time.perf_counter()
    while time.perf_counter() - since < SECONDS:
        recorder.rollout.clear()
        model.learn(rollout, reset_num_timesteps=False)
    seconds = time.perf_counter() - since
    pairs = recorder.pairs_sent - before[1] if films else 0
    recorder.close()
    return (recorder.env_steps - before[0]) / seconds, 2 * pairs / seconds


def sending() -> list[Row]:
    """Nanoseconds a byte from `put` to `get`."""
    queue: Any = multiprocessing.get_context("spawn").Queue()
    rows: list[Row] = []
    for turn in range(ROUNDS):
        film = Film(np.random.default_rng(0).integers(0, 256, (26, 210, 160, 3), np.uint8), 15.0)
        since = time.perf_counter()
        for _ in range(20):
            queue.put(film)
            queue.get()
        ns = 1e9 * (time.perf_counter() - since) / (20 * film.frames.nbytes)
        rows.append(("sending", "ns_per_byte", turn, ns, 0.0))
    return rows


def take(pairs: Any) -> None:
    """The other process: takes what comes."""
    while True:
        pairs.get()


def main() -> None:
    torch.set_num_threads(1)  # as in a run
    spawn = multiprocessing.get_context("spawn")
    pairs: Any = spawn.Queue(64)
    receiver = spawn.Process(target=take, args=(pairs,), daemon=True)
    receiver.start()

    def offer(pair: ClipPair) -> bool:
        if pairs.full():
            return False
        pairs.put(pair)
        return True

    rows = stepping()
    write(rows)
    for task in ("pong", "moving-dot-position", "pendulum"):
        rows += training(task, offer)
        write(rows)
    write(rows + sending())
    pairs.cancel_join_thread()  # what the receiver has not taken is not waited for


def write(rows: list[Row]) -> None:
    """All rows so far, and their medians."""
    path = Path(__file__).parent / "results" / "film_cost.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write("# python experiments/film_cost.py\n")
        writer = csv.writer(file)
        writer.writerow(("task", "what", "round", "figure", "films_per_s"))
        writer.writerows((*row[:3], round(row[3], 2), round(row[4], 2)) for row in rows)
    for task, what in dict.fromkeys(row[:2] for row in rows):
        speeds = [row[3] for row in rows if row[:2] == (task, what)]
        print(task, what, round(statistics.median(speeds), 2), flush=True)


if __name__ == "__main__":
    main()
