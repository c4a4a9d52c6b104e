"""Does the reward of `enduro-alongside` put drivers in the order in which a person would?

Hypothesis: level with the others > full gas > at random > standing. Three episodes each, of 750
decisions; but for the random driver they differ in the no-ops at their beginning alone.
Writes `results/enduro_drivers.csv`, all episodes.
"""

import csv
from collections.abc import Callable, Mapping

import numpy as np
from prefrl_envs import EnduroAlongside
from prefrl_envs.enduro import TRAFFIC_SPEED
from seeds import RESULTS

NOOP, GAS = 0, 1
EPISODES = 3

# From speed and a random generator to an action; steering is left to the game's slow drift.
DRIVERS: Mapping[str, Callable[[int, np.random.Generator], int]] = {
    "level": lambda speed, _: GAS if speed < TRAFFIC_SPEED - 1 else NOOP,
    "full gas": lambda _, __: GAS,
    "random": lambda _, rng: int(rng.integers(9)),
    "standing": lambda _, __: NOOP,
}


def main() -> None:
    rows = [row for name in DRIVERS for row in (drive(name, seed) for seed in range(EPISODES))]
    with (RESULTS / "enduro_drivers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(row)
    means = [np.mean([r["true_return"] for r in rows if r["driver"] == name]) for name in DRIVERS]
    assert means == sorted(means, reverse=True)


def drive(name: str, seed: int) -> dict[str, str | int | float]:
    """One episode."""
    env, rng = EnduroAlongside(), np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    total, passes, over = 0.0, 0, False
    while not over:
        _, reward, _, over, info = env.step(DRIVERS[name](info["speed"], rng))
        total, passes = total + reward, passes + info["passes"]
    env.close()
    return {"driver": name, "seed": seed, "true_return": round(total, 1), "passes": passes}


if __name__ == "__main__":
    main()
