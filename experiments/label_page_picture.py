"""Takes the picture of the label page that the README shows: Pong, clips of a random policy."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from scripted_person import CHROMIUM_OPTIONS
from seeds import RESULTS

PREFRL = str(Path(sys.executable).with_name("prefrl"))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "pong"
        gather = ["gather", "pong", "--labeler", "human", "--labels", "20", "--run-dir", str(run)]
        subprocess.run([PREFRL, *gather], check=True)
        with subprocess.Popen(
            [PREFRL, "label", str(run), "--port", "0"], stdout=subprocess.PIPE, text=True
        ) as page:
            assert page.stdout is not None
            link = next(found[0] for line in page.stdout if (found := re.search(r"http\S+", line)))
            take_picture(link, RESULTS / "label_page.png")
            page.terminate()


def take_picture(link: str, path: Path) -> None:
    """The page with a pair on it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM_OPTIONS
        )
        page = browser.new_page(viewport={"width": 1200, "height": 740})
        page.goto(link)
        page.click("[data-action=begin]")
        page.wait_for_selector("#stage:not(.vacant)")
        page.wait_for_timeout(1500)
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    main()
