"""Where figures go: TensorBoard and lines of JSON, by one call; and how they are measured."""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import psutil
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from prefrl.run_directory import LARGEST_METRICS, RunDirectory, finite, read_plain

Figure = float | list[list[float]]


class Metrics:
    """The figures of one process of a run.

    Lines of JSON can be read as soon as a call returns, TensorBoard's events a few seconds later.

    Args:
        run: Where the files go; those of an earlier part of the run are continued.
        process: Names the files: `policy`, `reward`.
    """

    def __init__(self, run: RunDirectory, process: str) -> None:
        run.metrics.mkdir(exist_ok=True)
        self._figures = _continue(run.metrics / f"{process}.jsonl")
        self._timing = _continue(run.metrics / f"timing-{process}.jsonl")
        self._events = EventFileWriter(str(run.tensorboard / process), flush_secs=5)

    def write(self, values: Mapping[str, Figure], step: int) -> None:
        """Log figures that two equal inline runs have in common to the last bit.

        Lists go to the lines of JSON alone.
        """
        self._write(self._figures, {"step": step}, values, step)

    def write_timing(self, values: Mapping[str, float], step: int) -> None:
        """Log clocks, rates and memory, which differ from run to run."""
        self._write(self._timing, {"step": step, "wall_clock_s": time.time()}, values, step)

    def _write(
        self, file: IO[str], head: dict[str, float], values: Mapping[str, Figure], step: int
    ) -> None:
        ordered = sorted(values.items())
        lists = {name: value for name, value in ordered if isinstance(value, list)}
        scalars = {name: float(value) for name, value in ordered if not isinstance(value, list)}
        file.write(json.dumps(finite(head | scalars | lists), allow_nan=False) + "\n")
        file.flush()
        summary = Summary(
            value=[Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        )
        self._events.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Finish all files."""
        self._figures.close()
        self._timing.close()
        self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _continue(path: Path) -> IO[str]:
    """A file to add lines to, without the torn last one of a process that was killed."""
    if path.exists():
        whole = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, whole)
    return path.open("a", encoding="utf-8")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines that were written, each as `step`, then figures by name.

    A last line without its end is left out: it is still being written, or its writer was killed.

    Raises:
        OSError: There is no plain file of a size that metrics have.
        ValueError: It holds no lines of JSON.
    """
    *lines, _torn = read_plain(path, LARGEST_METRICS).decode().split("\n")
    return [json.loads(line) for line in lines]


class Stopwatch:
    """Seconds spent in named phases: `with stopwatch("predict"): ...`."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Time what is inside, also where it raises."""
        since = time.perf_counter()
        try:
            yield
        finally:
            self.add(phase, time.perf_counter() - since)

    def add(self, phase: str, seconds: float) -> None:
        """Add what was measured otherwise."""
        self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds

    def seconds(self) -> dict[str, float]:
        """Seconds so far, by phase."""
        return dict(self._seconds)


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson's r of all elements, in float64; nan where one of them is constant."""
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    if x.std() < 1e-12 or y.std() < 1e-12:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def entering(name: str, numbers: NDArray[Any]) -> dict[str, float]:
    """What enters a network: range, and how much a number varies over a batch of steps.

    Where numbers hardly vary, a network hardly learns from them, whatever their range.

    Args:
        name: The figures' first part.
        numbers: `[B, ...]`.
    """
    return {
        f"{name}_min": float(numbers.min()),
        f"{name}_max": float(numbers.max()),
        f"{name}_deviation": float(np.sqrt(numbers.var(0, dtype=np.float64).mean())),
    }


def process_memory() -> int:
    """Bytes of memory this process holds now."""
    return int(psutil.Process().memory_info().rss)


def peak_memory() -> int:
    """Bytes of memory this process held at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB
