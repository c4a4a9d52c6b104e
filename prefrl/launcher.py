"""Starts, watches and stops the processes of a run. Holds no training logic, imports no torch."""

import math
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from prefrl.assignment import Assignment, PageAssignment
from prefrl.config import Config
from prefrl.cores import limit_spinning
from prefrl.display import Display
from prefrl.processes import page_process
from prefrl.run_directory import RunDirectory
from prefrl.run_status import StatusFile
from prefrl.wires import Flag, Wires

GRACE_S = 7.5  # a stop is promised within 10 s
FILMED_PAIRS = 8  # in the queue at most: films of two clips can take 25 MB
FILMS = "films"  # the process on which nothing depends
PAGE_REST_S = 1.0  # at least so long lies between two starts of the label page
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
Target = Callable[[Assignment, Wires], None]


@dataclass
class Outcome:
    """How the processes ended.

    Attributes:
        status: `stopped` or `failed` as soon as it is; else `finished`.
        exit_code: Of the program.
        summary: What the processes reported at their end.
        traceback: Of the process that failed first.
        wall_s: From start to end.
    """

    status: str = "finished"
    exit_code: int = 0
    summary: dict[str, Any] = field(default_factory=dict)
    traceback: str | None = None
    wall_s: float = 0.0


@dataclass
class _Child:
    process: BaseProcess
    messages: Connection
    reported: bool = False  # its last message, finished or failed, has come


class _Page:
    """The label page, in a process that is started again whenever it dies."""

    def __init__(self, context: SpawnContext, assignment: PageAssignment) -> None:
        self._context, self._assignment = context, assignment
        self._start()

    def _start(self) -> None:
        self._process = self._context.Process(
            target=page_process, args=(self._assignment,), name="page", daemon=True
        )
        with _signals_blocked():
            self._process.start()
        self._started_at = time.monotonic()

    def keep_alive(self, display: Display) -> None:
        """Look after it."""
        if self._process.is_alive() or time.monotonic() < self._started_at + PAGE_REST_S:
            return
        display.warn("the label page had died and was started again; no answer is lost")
        self._start()

    def end(self) -> None:
        """It has nothing to save: an answer is confirmed only when it is stored."""
        self._process.kill()
        self._process.join()


def launch(
    targets: dict[str, Target],
    assignment: Assignment,
    display: Display,
    outcome: Outcome,
    page: PageAssignment | None = None,
) -> None:
    """Run one process for each target until all have finished, one fails, or a signal comes.

    Args:
        targets: By the processes' names.
        assignment: Of each of them.
        display: What is shown of it.
        outcome: Of `ended_by_signals`; how it ends is written there.
        page: The label page to be served meanwhile; it waits for nobody, and nobody for it.
    """
    started = time.perf_counter()
    limit_spinning()
    context = multiprocessing.get_context("spawn")
    stop, learned, core_is_free = (Flag() for _ in range(3))
    label = assignment.config.label
    size = label.queue_size if page is None else min(label.queue_size, FILMED_PAIRS)
    queues = context.Queue(size), context.Queue()
    children: dict[str, _Child] = {}
    watch = _Watch(stop, outcome, display, StatusFile(RunDirectory(assignment.run_path)))
    try:
        with _signals_blocked():
            if outcome.status != "finished":  # a signal came before
                targets, page = {}, None
            for name, target in targets.items():
                receiver, sender = context.Pipe(duplex=False)
                wires = Wires(sender, stop, learned, core_is_free, *queues)
                process = context.Process(target=target, args=(assignment, wires), name=name)
                process.start()
                sender.close()  # so that a dead child shows as the end of its messages
                children[name] = _Child(process, receiver)
            if page is not None:
                watch.page = _Page(context, page)
        watch.until_all_have_reported(children)
    finally:
        _end(children)
        if watch.page is not None:
            watch.page.end()
    outcome.wall_s = time.perf_counter() - started


@dataclass
class _Watch:
    """Listens to the processes of a run."""

    stop: Flag
    outcome: Outcome
    display: Display
    status: StatusFile
    page: _Page | None = None

    def until_all_have_reported(self, children: dict[str, _Child]) -> None:
        """Handle messages until every child has said its last, or the grace of a stop is over."""
        deadline = math.inf
        while waiting := {c.messages: name for name, c in children.items() if not c.reported}:
            for ready in wait(list(waiting), timeout=0.2):
                assert isinstance(ready, Connection)
                name = waiting[ready]
                try:
                    kind, content = ready.recv()
                except (EOFError, OSError):  # dead, perhaps in the middle of a message
                    process = children[name].process
                    process.join()
                    kind = "failed"
                    content = f"the {name} process died with exit code {process.exitcode}\n"
                self._handle(children[name], kind, content)
            self.status.beat()
            if self.page is not None:
                self.page.keep_alive(self.display)
            if self.outcome.status != "finished":
                self.stop.set()
            if self.stop.is_set() and deadline == math.inf:
                deadline = time.monotonic() + GRACE_S
            for child in children.values():
                # Not waited for: a video under way at the lowest priority can take its time.
                child.reported |= self.stop.is_set() and child.process.name == FILMS
            if time.monotonic() > deadline:
                return

    def _handle(self, child: _Child, kind: str, content: Any) -> None:
        outcome = self.outcome
        if kind == "progress":
            self.display.update(content)
            self.status.update(content)
        elif kind == "warning":
            self.display.warn(content)
        elif kind == "failed" and child.process.name == FILMS:  # which nothing depends on
            child.reported = True
            self.display.warn(f"no more videos: {content.strip().splitlines()[-1]}")
        elif kind == "finished":
            child.reported = True
            peak = {
                **outcome.summary.get("peak_memory_bytes", {}),
                **content.pop("peak_memory_bytes", {}),
            }
            outcome.summary |= {**content, "peak_memory_bytes": peak}
        else:
            child.reported = True
            if outcome.traceback is None:
                outcome.status, outcome.exit_code, outcome.traceback = "failed", 1, content


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """While children start, who inherit it: Ctrl-C goes to the whole group, to handle is ours."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


@contextmanager
def ended_by_signals() -> Iterator[Outcome]:
    """The outcome of a run that Ctrl-C and SIGTERM end, also while it is being set up."""
    outcome = Outcome()

    def handle(number: int, _: FrameType | None) -> None:
        if outcome.status == "finished":
            outcome.status, outcome.exit_code = "stopped", 128 + number

    previous = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield outcome
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end(children: dict[str, _Child]) -> None:
    """No process outlives its run."""
    for child in children.values():
        child.process.join(timeout=1.0 if child.reported else 0.0)
        if child.process.is_alive():
            child.process.kill()
            child.process.join()


def result(config: Config, outcome: Outcome) -> dict[str, Any]:
    """`result.json`: all fields always, null where there is nothing to say."""
    evaluation = (
        "true_return", "random_return", "best_possible", "normalised_score", "predicted_return",
        "reward_correlation", "reward_correlation_random_policy",
    )  # fmt: skip
    counts = (
        "env_steps", "random_steps", "steps_per_s", "labels", "labels_unused", "snapshots",
        "clips_dropped", "validation_accuracy", "peak_memory_bytes",
    )  # fmt: skip
    return {
        "status": outcome.status,
        "env": config.env.id,
        "seed": config.seed,
        "wall_s": outcome.wall_s,
        **{name: outcome.summary.get(name) for name in (*counts, *evaluation)},
        "error": outcome.traceback.strip().splitlines()[-1] if outcome.traceback else None,
    }


def show_traceback(outcome: Outcome) -> None:
    """The failed process's traceback, once."""
    if outcome.traceback:
        print(outcome.traceback, end="", file=sys.stderr)
