"""How long does it take to list 1,000 runs?

Hypothesis: `prefrl runs DIR` over 1,000 run directories under 1 s (median of five), with the
provenance of this very checkout in each of them.
"""

import csv
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from prefrl.config import Config
from prefrl.config_file import to_dict
from prefrl.provenance import provenance
from prefrl.run_directory import RunDirectory, write_json

PREFRL = str(Path(sys.executable).with_name("prefrl"))
RUNS = 1000


def make_runs(folder: Path) -> None:
    """Each as a finished run leaves it, in what the list reads."""
    first = RunDirectory.create(folder / "0000")
    write_json(first.provenance, provenance(0, "how long does a list take?"))
    write_json(first.result, {"status": "finished", "labels": 200, "env_steps": 300_000,
                              "wall_s": 70.0, "true_return": {"mean": 75.0}})  # fmt: skip
    for seed in range(RUNS):
        run = first if seed == 0 else RunDirectory.create(folder / f"{seed:04}")
        write_json(run.config, to_dict(replace(Config(), seed=seed)))
        if run is not first:
            for name in (first.provenance.name, first.result.name):
                (run.path / name).write_bytes((first.path / name).read_bytes())


def seconds_of_list(folder: Path) -> float:
    since = time.perf_counter()
    output = subprocess.run([PREFRL, "runs", folder], check=True, stdout=subprocess.PIPE).stdout
    seconds = time.perf_counter() - since
    assert output.count(b"finished") == RUNS
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_runs(Path(folder))
        measured = [seconds_of_list(Path(folder)) for _ in range(5)]
    path = Path(__file__).parent / "results" / "list_runs.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write("# python experiments/list_runs.py\n")
        writer = csv.writer(file)
        writer.writerow(("runs", "seconds"))
        writer.writerows((RUNS, round(seconds, 3)) for seconds in measured)
    print(f"list of {RUNS} runs: median {statistics.median(measured):.2f} s")


if __name__ == "__main__":
    main()
