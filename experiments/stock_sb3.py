"""Steps a second of stock Stable-Baselines3 on Pong's true reward, as its documentation has it.

Prints a line for A2C and one for PPO.

python experiments/stock_sb3.py N_ENVS    # more than 8: in processes of their own
"""

import sys
import time

import ale_py
import gymnasium
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

from prefrl.recipes import RECIPES

SECONDS = 3.0


def main() -> None:
    n_envs = int(sys.argv[1])
    gymnasium.register_envs(ale_py)
    # Forked, as SB3's other ways import PyTorch in each process first; steps are as fast.
    together, how = (DummyVecEnv, {}) if n_envs <= 8 else (SubprocVecEnv, {"start_method": "fork"})
    games = make_atari_env(
        "PongNoFrameskip-v4", n_envs, seed=0, vec_env_cls=together, vec_env_kwargs=how
    )
    stacked, ours = VecFrameStack(games, 4), RECIPES["pong"].config.policy
    print("a2c", steps_per_s(A2C("CnnPolicy", stacked), 50 * n_envs))
    # SB3's defaults, but for the rollout, batch and epochs of our recipe.
    ppo = PPO(
        "CnnPolicy", stacked, n_steps=ours.n_steps, batch_size=ours.batch_size,
        n_epochs=ours.n_epochs,
    )  # fmt: skip
    print("ppo", steps_per_s(ppo, ours.n_steps * n_envs))


def steps_per_s(model: OnPolicyAlgorithm, at_once: int) -> float:
    """After a warm-up, over whole rollouts."""
    model.learn(at_once)
    steps, since = 0, time.perf_counter()
    while time.perf_counter() - since < SECONDS:
        model.learn(at_once, reset_num_timesteps=False)
        steps += at_once
    return steps / (time.perf_counter() - since)


if __name__ == "__main__":
    main()
