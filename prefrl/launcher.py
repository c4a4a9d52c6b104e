"""Starts, watches and stops the processes of a run. Holds no training logic, imports no torch."""

import math
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from prefrl.assignment import Assignment
from prefrl.config import Config
from prefrl.display import Display
from prefrl.processes import Wires

GRACE_S = 7.5  # a stop is promised within 10 s
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
Target = Callable[[Assignment, Wires], None]


@dataclass
class Outcome:
    """How the processes ended.

    Attributes:
        status: `finished`, `stopped` or `failed`.
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


def launch(targets: dict[str, Target], assignment: Assignment, display: Display) -> Outcome:
    """Run one process for each target until all have finished, one fails, or a signal comes."""
    started = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    stop, learned = context.Event(), context.Event()
    queues = context.Queue(assignment.config.label.queue_size), context.Queue()
    outcome, children = Outcome(), {}
    previous = _stop_on_signals(stop, outcome)
    # Children inherit the mask: a signal to the whole group, as Ctrl-C sends it, is the launcher's
    # to handle, also while they start.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        for name, target in targets.items():
            receiver, sender = context.Pipe(duplex=False)
            wires = Wires(sender, stop, learned, *queues)
            process = context.Process(target=target, args=(assignment, wires), name=name)
            process.start()
            sender.close()  # so that a dead child shows as the end of its messages
            children[name] = _Child(process, receiver)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        _watch(children, stop, outcome, display)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        _end(children)
        for number, handler in previous.items():
            signal.signal(number, handler)
    outcome.wall_s = time.perf_counter() - started
    return outcome


def _watch(children: dict[str, _Child], stop: Any, outcome: Outcome, display: Display) -> None:
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
            _handle(children[name], kind, content, outcome, display)
        if outcome.status != "finished":
            stop.set()
        if stop.is_set() and deadline == math.inf:
            deadline = time.monotonic() + GRACE_S
        if time.monotonic() > deadline:
            return


def _handle(child: _Child, kind: str, content: Any, outcome: Outcome, display: Display) -> None:
    if kind == "progress":
        display.update(content)
    elif kind == "warning":
        display.warn(content)
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


def _stop_on_signals(stop: Any, outcome: Outcome) -> dict[int, Any]:
    """Ctrl-C and SIGTERM end the run; returns the handlers that were there."""

    def handle(number: int, _: FrameType | None) -> None:
        if outcome.status == "finished":
            outcome.status, outcome.exit_code = "stopped", 128 + number
        stop.set()

    return {number: signal.signal(number, handle) for number in STOP_SIGNALS}


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
        **{name: outcome.summary.get(name) for name in counts},
        # A run that was stopped while it was evaluated has no evaluation either.
        **{
            name: outcome.summary.get(name) if outcome.status == "finished" else None
            for name in evaluation
        },
        "error": outcome.traceback.strip().splitlines()[-1] if outcome.traceback else None,
    }


def show_traceback(outcome: Outcome) -> None:
    """The failed process's traceback, once."""
    if outcome.traceback:
        print(outcome.traceback, end="", file=sys.stderr)
