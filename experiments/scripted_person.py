"""Does the whole chain teach: page, store, reward, policy?

A scripted person opens the printed link in a real browser and answers by what stands on the screen:
better is the clip whose dot comes nearer to the centre between its first and its last picture. They
look at each pair for 1.5 s, at double speed, so that they see it to its end.

Hypothesis: the moving dot (whose policy sees its position, and whose clips show the dot) reaches a
normalised score of at least 0.9 with 200 such labels, given at 1,800 answers an hour or more; from
key press to the next pair's first frame at most 100 ms, confirmations within 50 ms (95th
percentiles), while the run trains on the same two cores.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright
from seeds import RESULTS

SEEDS = (43, 44, 45)  # 40 to 42 were reported with too few films of the newest policy
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
KEYS = {"left": "ArrowLeft", "right": "ArrowRight", "equal": "ArrowUp"}

# How far the bright dot of each canvas is from the centre, in the picture's own pixels.
DISTANCES = """() => [...document.querySelectorAll("canvas")].map((canvas) => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let n = 0, x = 0, y = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] < 128) continue;
    n += 1, x += (i / 4) % width, y += Math.floor(i / 4 / width);
  }
  return Math.abs(x / n - (width - 1) / 2) + Math.abs(y / n - (height - 1) / 2);
})"""

# The same once both clips stand on their last pictures.
DISTANCES_AT_END = f"""() => new Promise((resolve) => {{
  const bar = document.querySelector("#position");
  const look = () => bar.style.transform === "scaleX(1)" ? resolve(({DISTANCES})())
                                                         : requestAnimationFrame(look);
  look();
}})"""


class ScriptedPerson:
    """Compares moving dots on the label page.

    Args:
        page: The page, its help closed.
        seconds: How long they look at a pair at least; they see it to its end.
    """

    def __init__(self, page: Page, seconds: float) -> None:
        self._page, self._seconds = page, seconds
        self._page.keyboard.press("3")  # double speed: a clip of 1.7 s is over before they answer
        self.answers = 0

    def label_all(self, longest_s: float) -> None:
        """Answer until the page says that all answers are given.

        Raises:
            TimeoutError: It does not in time.
        """
        end = time.monotonic() + longest_s
        while "All answers" not in self._page.inner_text("#stage"):
            if time.monotonic() > end:
                raise TimeoutError(f"{self.answers} answers in {longest_s:.0f} s, and no end")
            if self._page.query_selector("#stage:not(.vacant)"):
                self._compare()
                self.answers += 1
            else:
                self._page.wait_for_timeout(20)

    def _compare(self) -> None:
        appeared = time.monotonic()
        for key in ("r", ",", ",", ","):  # back to the first picture, and stop there
            self._page.keyboard.press(key)
        first = self._page.evaluate(DISTANCES)
        self._page.keyboard.press("r")
        last = self._page.evaluate(DISTANCES_AT_END)
        self._page.wait_for_timeout(max(0.0, appeared + self._seconds - time.monotonic()) * 1000)
        nearer_left, nearer_right = (a - b for a, b in zip(first, last, strict=True))
        better = "left" if nearer_left > nearer_right else "right"
        self._page.keyboard.press(KEYS["equal" if nearer_left == nearer_right else better])


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            rows.append(teach(seed, Path(folder) / str(seed)))
            print(rows[-1], flush=True)
    with (RESULTS / "scripted_person.csv").open("w", newline="", encoding="utf-8") as file:
        file.write("# prefrl train moving-dot-position --labeler human --seed SEED\n")
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def teach(seed: int, run: Path) -> dict[str, Any]:
    """One run, labelled by one scripted person."""
    program = [str(Path(sys.executable).with_name("prefrl")), "train", "moving-dot-position"]
    options = ["--labeler", "human", "--seed", str(seed), "--run-dir", str(run)]
    with subprocess.Popen([*program, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        link = next(found[0] for line in process.stdout if (found := re.search(r"http\S+", line)))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=CHROMIUM_OPTIONS
            )
            page = browser.new_page()
            page.add_init_script("performance.setResourceTimingBufferSize(100000)")
            page.goto(link)
            page.click("[data-action=begin]")
            page.wait_for_selector("#stage:not(.vacant)")
            began = time.monotonic()
            person = ScriptedPerson(page, seconds=1.5)
            person.label_all(longest_s=1200)
            labelled_s = time.monotonic() - began
            timings = page.evaluate(TIMINGS)
            browser.close()
        process.stdout.read()
    result = json.loads((run / "result.json").read_text())
    return {
        "seed": seed,
        "normalised_score": round(result["normalised_score"], 3),
        "labels": result["labels"],
        "labels_unused": result["labels_unused"],
        "answers_per_hour": round(person.answers * 3600 / labelled_s),
        "frame_ms_p95": round(float(np.percentile(timings["frames"], 95)), 1),
        "confirmation_ms_p95": round(float(np.percentile(timings["confirmations"], 95)), 1),
        "wall_s": round(result["wall_s"], 1),
    }


TIMINGS = """() => ({
  frames: performance.getEntriesByName("answer-to-frame").map((entry) => entry.duration),
  confirmations: performance.getEntriesByType("resource")
    .filter((entry) => entry.name.endsWith("/api/answers")).map((entry) => entry.duration),
})"""


if __name__ == "__main__":
    main()
