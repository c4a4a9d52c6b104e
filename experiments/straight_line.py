"""What does an agent score on the moving dot that goes straight to the centre and stays there?

1,000 starts. It moves along the axis with more to go while that brings it closer. Its steps are 4
pixels long, so it ends up to 2 pixels from the centre on each axis; the best possible return counts
detours to an edge that let it land on the centre.
"""

import gymnasium as gym
import prefrl_envs  # noqa: F401  registers the environment
from seeds import write_row

STARTS = 1000
TARGET = (79, 104)  # the middle of the positions, x and y
STAY, UP, RIGHT, DOWN, LEFT = range(5)


def straight(x: float, y: float) -> int:
    """The action towards the centre, or to stay where none brings it closer."""
    right, down = TARGET[0] - x, TARGET[1] - y
    if max(abs(right), abs(down)) <= 2:
        return STAY
    if abs(right) > abs(down):
        return RIGHT if right > 0 else LEFT
    return DOWN if down > 0 else UP


def main() -> None:
    env = gym.make("prefrl/MovingDotPosition-v0")
    reached = possible = 0.0
    for start in range(STARTS):
        observation, info = env.reset(seed=start)
        possible += info["best_possible_return"]
        truncated = False
        while not truncated:
            observation, reward, _, truncated, _ = env.step(straight(*observation[:2]))
            reached += float(reward)
    row = {"starts": STARTS, "normalised_score": round(reached / possible, 4)}
    write_row("straight_line", "python experiments/straight_line.py", row)


if __name__ == "__main__":
    main()
