"""On how many processor cores a process of a run computes, and on which its games are played."""

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Collection, Set

# Turns a thread of libgomp waits for the others by asking again and again, before it sleeps: a
# third of a millisecond, longer than the pause between two operations. By itself it takes 300,000,
# and has the core all that time: two runs beside each other made a third of their steps, and the
# threads on which games play waited too. Where torch comes with another library it is not told.
# Source: experiments/LOG.md.
SPINS = 20_000
# Of two cores: a run that has them to itself gets 1.7 to 1.9, one beside another at most 1.3.
SHARED = 1.5
# Over at least so long: the run's own other process can take it back unseen for a second or two.
JUDGED_S = 4.0
LEFT_ALONE_S = 60.0


def limit_spinning() -> None:
    """For processes started from now on, unless the user decided otherwise."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def usable_cores() -> int:
    """Fewer than the machine has, where the system keeps this process to some."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compute_on(cores: int) -> None:
    """Let this process compute on so many cores, if it may use as many."""
    import torch

    threads = min(cores, usable_cores())
    if threads != torch.get_num_threads():  # setting it anew empties oneDNN's caches
        torch.set_num_threads(threads)


def own_threads() -> Set[int]:
    """This process's threads as Linux numbers them; elsewhere none."""
    return set(map(int, os.listdir("/proc/self/task"))) if sys.platform == "linux" else set()


class KeptApart:
    """Two threads that can be kept to a core each, where there are two cores.

    Those that play games are woken one after the other by a thread that was at work, and Linux lets
    both wait for one core while the other idles: 5 ms a step of 16 games instead of 3. ALE can bind
    them itself, but then for good. Source: experiments/LOG.md.

    Args:
        threads: As `own_threads` has them. Others than two stay where the system wants them.
    """

    def __init__(self, threads: Collection[int]) -> None:
        self._threads = sorted(threads)
        self._apart = False

    def keep(self, apart: bool) -> None:
        """A core each, or both where the system wants them."""
        if sys.platform != "linux" or apart == self._apart:
            return
        cores = sorted(os.sched_getaffinity(0))  # anew: they can change
        if apart and not len(self._threads) == len(cores) == 2:
            return
        places = [{core} for core in cores] if apart else [set(cores)] * len(self._threads)
        with contextlib.suppress(OSError):  # not worth a run
            for thread, place in zip(self._threads, places, strict=True):
                os.sched_setaffinity(thread, place)
        self._apart = apart


class SecondCore:
    """A second core for this process, while the run's other process leaves its own.

    Threads that wait for each other are slow where something else computes on their cores, and
    slow that down: another run, say. So what this process got of the two is watched, and where
    that is too little it keeps to one for a while.

    Args:
        is_free: Whether the run has no other use for it: no other process, no people.
        players: Threads of this process that play games: with both cores, each keeps to one.
    """

    def __init__(self, is_free: Callable[[], bool], players: Collection[int] = ()) -> None:
        self._is_free = is_free
        self._players = KeptApart(players)
        self._taken_at: tuple[float, float] | None = None
        self._passed = self._computed = 0.0  # seconds: on the clock, and of all threads
        self._not_before = -math.inf

    def take(self) -> None:
        """Compute on two cores if there are two to be had, else on one."""
        self._look_back()
        free = self._is_free() and time.perf_counter() >= self._not_before
        self._players.keep(apart=free)
        if free:
            compute_on(2)
            self._taken_at = time.perf_counter(), time.process_time()
        else:
            compute_on(1)

    def leave(self) -> None:
        """Compute on one. Players that are kept apart stay so."""
        self._look_back()
        compute_on(1)

    def _look_back(self) -> None:
        """Do without it for a while, if it was shared with something that is not of this run."""
        if self._taken_at is None:
            return
        (passed, computed), self._taken_at = self._taken_at, None
        if not self._is_free():
            return  # it may have been the run's own other process
        now = time.perf_counter()
        self._passed += now - passed
        self._computed += time.process_time() - computed
        if self._passed < JUDGED_S:
            return
        if self._computed < SHARED * self._passed:
            self._not_before = now + LEFT_ALONE_S
        self._passed = self._computed = 0.0
