"""What all tests in a real browser share."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from training import PREFRL

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}


def check_with_axe(page: Page) -> None:
    violations = Axe().run(page).response["violations"]
    serious = [v for v in violations if v["impact"] in {"serious", "critical"}]
    assert not serious, [(v["id"], [n["html"] for n in v["nodes"]]) for v in serious]


def check_fits_a_phone(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["viewport"]["width"]


@contextmanager
def served(*arguments: str | Path) -> Iterator[str]:
    """A command that serves pages, in a process of its own; gives the link that it prints."""
    with subprocess.Popen(
        [PREFRL, *map(str, arguments), "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                yield found.group()
                break
        process.terminate()
        assert process.wait(timeout=10) == 143
