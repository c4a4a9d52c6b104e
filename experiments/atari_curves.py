"""Are Breakout and driving alongside in Enduro learned from synthetic preferences within an hour?

Hypothesis: with the settings of Pong, in 60 minutes on two cores, the last policy's mean true
return of 20 episodes is, in Breakout, at least 30 (at random 1) and half of the baseline's; in
driving alongside, at least 500 of 750 (at random 35, at full gas 360). The baseline learns from
what the oracle compares. Seed 0, chosen beforehand; nothing was tuned on either. `NAME_curve.csv`
has the curve.

Driving alongside is scored by what it is about too, over 20 episodes of the last policy: cars that
it passed or that passed it in 1,000 emulator frames, and the share of time in which it drives, at
half of the others' pace or faster.

    python experiments/atari_curves.py                   # all of it, four hours
    python experiments/atari_curves.py breakout true     # a part: a recipe, and `learned` or `true`
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from prefrl_envs import EnduroAlongside
from prefrl_envs.enduro import TRAFFIC_SPEED
from seeds import train_on_seeds, write_curve

from prefrl.policy.vec_env import make_vec_env
from prefrl.run_directory import RunDirectory
from prefrl.runs.evaluation import evaluation_seed, policy_acts
from prefrl.runs.trained import load_trained

SEED = 0
RECIPES = ("breakout", "enduro-alongside")
REWARDS = ("learned", "true")
EPISODES = 20


def driving(run: Path) -> dict[str, Any]:
    """How the last policy of a run of Enduro keeps level with the others."""
    trained = load_trained(RunDirectory.open(run), rewards=False)
    act = policy_acts(trained.model)
    venv = make_vec_env(trained.config.env, EPISODES, evaluation_seed(trained.config))
    observations = venv.reset()
    speeds, passes, over = [], [], False
    while not over:  # all last equally long
        assert isinstance(observations, np.ndarray)
        observations, _, dones, infos = venv.step(act(observations))
        speeds.append([info["speed"] for info in infos])
        passes.append([info["passes"] for info in infos])
        over = bool(dones.all())
    venv.close()
    frames = len(passes) * EnduroAlongside().frame_skip
    return {
        "passes_per_1000_frames": round(float(1000 * np.sum(passes, 0).mean() / frames), 2),
        "share_driving": round(float(np.mean(np.array(speeds) >= TRAFFIC_SPEED / 2)), 3),
    }


def train(recipe: str, reward: str) -> None:
    """One run; it has two CSVs and a picture of its own."""
    name = f"{recipe.replace('-', '_')}_{reward}"
    command = f"python experiments/{Path(__file__).name} {recipe} {reward}"

    def also(run: Path) -> dict[str, Any]:
        write_curve(name, command, run)
        return driving(run) if recipe == "enduro-alongside" else {}

    train_on_seeds(name, recipe, [SEED], "--reward", reward, also=also)


def main() -> None:
    parts = [sys.argv[1:]] if sys.argv[1:] else [(e, r) for e in RECIPES for r in REWARDS]
    for recipe, reward in parts:
        train(recipe, reward)


if __name__ == "__main__":
    main()
