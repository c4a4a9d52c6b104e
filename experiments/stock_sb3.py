"""Steps a second of stock Stable-Baselines3 on Pong's true reward, as its documentation has it.

python experiments/stock_sb3.py a2c|ppo N_ENVS    # more than 8: in processes of their own
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
    algo, n_envs = sys.argv[1], int(sys.argv[2])
    gymnasium.register_envs(ale_py)
    # Forked, as SB3's other ways import PyTorch in each process first; steps are as fast.
    together, how = (DummyVecEnv, {}) if n_envs <= 8 else (SubprocVecEnv, {"start_method": "fork"})
    games = make_atari_env(
        "PongNoFrameskip-v4", n_envs, seed=0, vec_env_cls=together, vec_env_kwargs=how
    )
    model, steps_each = make_model(algo, VecFrameStack(games, 4)), 100 * n_envs
    if isinstance(model, PPO):
        steps_each = model.n_steps * n_envs
    model.learn(steps_each)
    steps, since = 0, time.perf_counter()
    while time.perf_counter() - since < SECONDS:
        model.learn(steps_each, reset_num_timesteps=False)
        steps += steps_each
    print(steps / (time.perf_counter() - since))


def make_model(algo: str, games: VecFrameStack) -> OnPolicyAlgorithm:
    """SB3's defaults; PPO with the rollout, batch and epochs of our recipe."""
    if algo == "a2c":
        return A2C("CnnPolicy", games)
    ours = RECIPES["pong"].config.policy
    return PPO(
        "CnnPolicy", games, n_steps=ours.n_steps, batch_size=ours.batch_size, n_epochs=ours.n_epochs
    )


if __name__ == "__main__":
    main()
