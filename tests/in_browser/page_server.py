"""The label page's server process, and what a test does to a page in a browser."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from labelled_run import LabelledRun
from playwright.sync_api import Page

KEYS = {
    "ArrowLeft": "left", "ArrowRight": "right", "ArrowUp": "equal", "ArrowDown": "incomparable",
}  # fmt: skip
SERVE = """
import sys
from pathlib import Path
from labeler_ui.server import Address, listen, serve
with listen(Address(port=int(sys.argv[2]))) as listening:
    print(sys.argv[2], flush=True)
    serve(Path(sys.argv[1]), listening, "127.0.0.1", repeat_share=0.0)
"""


READY = "#stage:not(.vacant)"


class Server:
    """The page's process, which can be killed and started again."""

    def __init__(self, run: Path) -> None:
        self.run = run
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        path = os.pathsep.join(entry for entry in [os.getcwd(), *sys.path] if entry)
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self.run), str(self.port)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{self.port}\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


Open = Callable[..., Page]


def shown(page: Page) -> str:
    query = page.get_attribute(f"{READY}[data-query]:not([data-query=''])", "data-query")
    assert query
    return query


def press(page: Page, key: str) -> str:
    """Answer by key; returns the query that was answered."""
    query = shown(page)
    page.keyboard.press(key)
    return query


def frames(page: Page) -> list[int]:
    """Which frame each canvas shows: films carry its number in their first pixels."""
    script = """[...document.querySelectorAll("canvas")].map(
        (canvas) => canvas.getContext("2d").getImageData(2, 2, 1, 1).data[0] / 4)"""
    return [round(number) for number in page.evaluate(script)]


def wait_until(holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def as_shown(run: LabelledRun, label) -> str:
    query = next(query for query in run.queries if query.id == label.query_id)
    turned = {"left": "right", "right": "left"}
    same_side = label.shown_left == query.left
    return label.answer if same_side else turned.get(label.answer, label.answer)
