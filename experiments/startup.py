"""How long does help take, and how long until the first environment step?

Hypothesis: `prefrl --help` under 0.5 s (median of five), the first step of
`prefrl train moving-dot-position` within 5 s. A module given to `--env-import` marks the step.
"""

import csv
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PREFRL = str(Path(sys.executable).with_name("prefrl"))
MARK = """
import pathlib, prefrl_envs
original = prefrl_envs.MovingDot.step
def step(self, action):
    pathlib.Path("stepped").touch()
    prefrl_envs.MovingDot.step = original
    return original(self, action)
prefrl_envs.MovingDot.step = step
"""


def seconds_of_help() -> float:
    since = time.perf_counter()
    subprocess.run([PREFRL, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - since


def seconds_to_first_step() -> float:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mark.py").write_text(MARK)
        since = time.perf_counter()
        training = subprocess.Popen(
            [PREFRL, "train", "moving-dot-position", "--env-import", "mark"],
            cwd=folder, env={"PYTHONPATH": folder, "PATH": "/usr/bin:/bin"},
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while not (Path(folder) / "stepped").exists():
            time.sleep(0.01)
        seconds = time.perf_counter() - since
        training.terminate()
        training.wait()
    return seconds


def main() -> None:
    rows = [("help", seconds_of_help()) for _ in range(5)]
    rows += [("first step", seconds_to_first_step()) for _ in range(5)]
    path = Path(__file__).parent / "results" / "startup.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write("# python experiments/startup.py\n")
        writer = csv.writer(file)
        writer.writerow(("what", "seconds"))
        writer.writerows((what, round(seconds, 3)) for what, seconds in rows)
    for kind in ("help", "first step"):
        print(kind, "median", round(statistics.median(s for w, s in rows if w == kind), 2), "s")


if __name__ == "__main__":
    main()
