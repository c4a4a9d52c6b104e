"""How many requests somebody may make."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """A token bucket.

    A person who answers every second makes about four requests with each answer; a page that is
    opened makes some twenty at once.

    Attributes:
        per_second: Requests for which there is room in the long run.
        burst: Requests for which there is room at once.
    """

    per_second: float = 30.0
    burst: float = 200.0


class RateLimit:
    """A bucket for everybody who came lately."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._used: dict[str, tuple[float, float]] = {}  # by name: requests, and as of when

    def admits(self, name: str, now: float) -> bool:
        """Whether there is room for one more request of theirs, which is then taken."""
        with self._lock:
            if len(self._used) > 1000:
                self._forget_rested(now)
            used = self._used_at(name, now) + 1
            if used > self._rate.burst:
                return False
            self._used[name] = used, now
            return True

    def _used_at(self, name: str, now: float) -> float:
        used, since = self._used.get(name, (0.0, now))
        return max(0.0, used - max(0.0, now - since) * self._rate.per_second)

    def _forget_rested(self, now: float) -> None:
        self._used = {name: self._used[name] for name in self._used if self._used_at(name, now)}
