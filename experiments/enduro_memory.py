"""Where Enduro keeps what the oracle of `enduro-alongside` reads: find it, then check it.

Hypotheses, each of which ends the script with an error if it does not hold:
1. Speed is byte 22: the one byte that gas only raises and the brake only lowers, to where it was at
   rest; and where it is held, the odometer turns the faster the higher it is.
2. Cars left are bytes 44 and 43, two decimal digits each: they change where ALE's reward is not 0,
   by as much, and the game shows what is written there.
3. The other cars are bytes 27 to 33, nearest first: a car that we overtake appears in each place
   from 33 down to 27, one that overtakes us from 27 up to 33.
4. The others drive at speed 24: held there, nobody passes; slower, they pass; faster, we pass.
5. Up to emulator frame 3,071 only the sky changes its shade; then there is snow, whatever one does.

Writes `results/enduro_memory.csv`: passes either way at speeds that are held, over 2,900 frames.
"""

import csv
from typing import Any

import numpy as np
from ale_py.env import AtariEnv
from numpy.typing import NDArray
from prefrl_envs.enduro import (
    CARS_AHEAD,
    CARS_LEFT,
    SPEED,
    TRAFFIC_SPEED,
    WEATHER_CHANGES,
    decimal,
)
from seeds import RESULTS

NOOP, GAS, BRAKE = 0, 1, 4
SPEEDS = (6, 10, 12, 15, 18, 20, 22, 23, 24, 25, 26, 28, 30, 40, 60)
FRAMES = 2900
GRASS = (60, 12)  # a pixel beside the road


def main() -> None:
    find_speed()
    check_cars_left()
    check_places()
    check_weather()
    rows = [passes_at(speed) for speed in SPEEDS]
    check_traffic(rows)
    path = RESULTS / "enduro_memory.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(path.read_text(encoding="utf-8"))


def game() -> AtariEnv:
    """Enduro, one emulator frame a step, nothing random."""
    env = AtariEnv("enduro", frameskip=1, repeat_action_probability=0.0)
    env.reset(seed=0)
    return env


def play(env: AtariEnv, action: int, frames: int) -> NDArray[np.int64]:
    """`[frames, 128]`, the memory after each frame."""
    memories = []
    for _ in range(frames):
        env.step(action)
        memories.append(env.ale.getRAM())
    return np.array(memories).astype(np.int64)  # bytes would overflow


def cars_left(memory: NDArray[Any]) -> int:
    """The number on the panel."""
    return 100 * decimal(memory[CARS_LEFT[0]]) + decimal(memory[CARS_LEFT[1]])


def odometer(memory: NDArray[Any]) -> int:
    """Whole units; tenths are shown but not needed here."""
    return 100 * decimal(memory[41]) + decimal(memory[40])


def find_speed() -> None:
    env = game()
    rest = play(env, NOOP, 60)[-1]
    gas, brake = play(env, GAS, 120), play(env, BRAKE, 200)
    up, down = np.diff(gas, axis=0), np.diff(brake, axis=0)
    rises = (up >= 0).all(0) & ((up > 0).sum(0) > 10)
    falls = (down <= 0).all(0) & ((down < 0).sum(0) > 10)
    found = np.flatnonzero(rises & falls & (brake[-1] == rest)).tolist()
    print("bytes that gas raises and the brake lowers to what they were:", found)
    assert found == [SPEED]
    distances = []
    for speed in (12, 24, 48):
        env = game()
        for _ in range(400):
            env.ale.setRAM(SPEED, speed)
            env.step(NOOP)
        distances.append(odometer(env.ale.getRAM()))
    print("odometer after 400 frames at 12, 24, 48:", distances)
    assert distances == sorted(set(distances))


def check_cars_left() -> None:
    for action, sign in ((NOOP, 1), (GAS, -1)):
        env, changes = game(), 0
        env.ale.setRAM(CARS_LEFT[0], 1)
        env.ale.setRAM(CARS_LEFT[1], 0x50)
        env.step(NOOP)  # whose reward is for what was written
        before = cars_left(env.ale.getRAM())
        assert before == 150
        for _ in range(1500):
            reward = float(env.step(action)[1])
            after = cars_left(env.ale.getRAM())
            assert before - after == reward
            changes += int(sign * (after - before) > 0)
            before = after
        print(f"cars left changed {changes} times by {sign:+d} with action {action}")
        assert changes > 3


def check_places() -> None:
    places = range(CARS_AHEAD.start, CARS_AHEAD.stop)
    for speed, order in ((30, reversed(places)), (18, places)):
        env = game()
        first: dict[int, int] = {}
        for frame in range(1500):
            env.ale.setRAM(SPEED, speed)
            env.step(NOOP)
            memory = env.ale.getRAM()
            for place in places:
                if memory[place]:
                    first.setdefault(place, frame)
        print(f"frame in which each place is first taken, at speed {speed}:", first)
        assert list(first) == list(order)


def check_weather() -> None:
    for action in (NOOP, GAS):
        env = game()
        colours = [tuple(env.step(action)[0][GRASS]) for _ in range(WEATHER_CHANGES + 1)]
        changed = [i for i in range(1, len(colours)) if colours[i] != colours[0]]
        print(f"the grass changes at frame {changed[:1]} with action {action}")
        assert changed == [WEATHER_CHANGES]


def passes_at(speed: int) -> dict[str, int]:
    """Cars that passed and were passed with the speed held; the road's edge stops us at times."""
    env = game()
    env.ale.setRAM(CARS_LEFT[0], 1)
    env.ale.setRAM(CARS_LEFT[1], 0)
    before, passed_by, passed, in_sight = 100, 0, 0, 0
    for _ in range(FRAMES):
        env.ale.setRAM(SPEED, speed)
        env.step(NOOP)
        memory = env.ale.getRAM()
        after = cars_left(memory)
        passed_by += max(after - before, 0)
        passed += max(before - after, 0)
        in_sight += int(memory[CARS_AHEAD].any())
        before = after
    return {
        "speed": speed, "passed_by": passed_by, "passed": passed, "frames_with_cars": in_sight,
    }  # fmt: skip


def check_traffic(rows: list[dict[str, int]]) -> None:
    for row in rows:
        if row["speed"] < TRAFFIC_SPEED:
            assert row["passed_by"] > 0 == row["passed"], row
        elif row["speed"] == TRAFFIC_SPEED:
            assert row["passed_by"] == row["passed"] == 0, row
        else:  # collisions may keep us from overtaking, but nobody overtakes us
            assert row["passed_by"] == 0, row
    assert sum(row["passed"] for row in rows) > 0


if __name__ == "__main__":
    main()
