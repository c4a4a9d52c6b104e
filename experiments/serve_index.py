"""How long does the index page of 1,000 runs take?

Hypothesis: under 300 ms, from the first visit on (median of nine; the last three after every tenth
run has changed), with the provenance of this very checkout and 300 rollouts in each run.
"""

import csv
import json
import re
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from list_runs import PREFRL, RUNS, make_runs

from prefrl.run_directory import RunDirectory

ROLLOUTS = 300
FIGURES = 40  # beside the return, in each line
VISITS = 9


def write_figures(run: RunDirectory) -> None:
    """As many figures as a short run leaves."""
    others = {f"train/figure_{i}": 0.123456789 for i in range(FIGURES)}
    lines = [
        json.dumps({"step": 1024 * i, "rollout/true_return": i**0.5, **others}) + "\n"
        for i in range(1, ROLLOUTS + 1)
    ]
    run.metrics.mkdir()
    (run.metrics / "policy.jsonl").write_text("".join(lines))


def change_some(folder: Path) -> None:
    """Every tenth run has one rollout more."""
    for path in sorted(folder.iterdir())[::10]:
        with (path / "metrics" / "policy.jsonl").open("a") as file:
            file.write('{"step": 1, "rollout/true_return": 20.0}\n')


def seconds_of_visits(folder: Path) -> list[float]:
    """Of the whole page, by a browser that has the cookie."""
    measured = []
    with subprocess.Popen(
        [PREFRL, "serve", folder, "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        found = re.search(r"(http://\S+/)\?token=(\S+)", server.stdout.readline())
        assert found is not None
        port = found[1].rstrip("/").rpartition(":")[2]
        request = urllib.request.Request(found[1], headers={"Cookie": f"prefrl_{port}={found[2]}"})
        for visit in range(VISITS):
            if visit >= VISITS - 3:
                change_some(folder)
            since = time.perf_counter()
            with urllib.request.urlopen(request) as response:
                page = response.read()
            measured.append(time.perf_counter() - since)
            assert page.count(b'class="spark"') == RUNS
        server.terminate()
    return measured


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_runs(Path(folder))
        for path in Path(folder).iterdir():
            write_figures(RunDirectory(path))
        measured = seconds_of_visits(Path(folder))
    path = Path(__file__).parent / "results" / "serve_index.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write("# python experiments/serve_index.py\n")
        writer = csv.writer(file)
        writer.writerow(("runs", "visit", "seconds"))
        writer.writerows((RUNS, i, round(s, 3)) for i, s in enumerate(measured, 1))
    print(f"index of {RUNS} runs: median {1000 * statistics.median(measured):.0f} ms, "
          f"at most {1000 * max(measured):.0f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
