"""The line of figures above the clips: how far the labels are, how fast they come."""

import math
import threading
from collections import deque
from typing import Literal, TypedDict

from prefrl.labels.desk import LabelDesk
from prefrl.labels.store import LabelStore
from prefrl.run_directory import RunDirectory
from prefrl.run_status import WAITING, status_of

WINDOW_S = 600.0

Activity = Literal["waiting", "training", "stopped"]


class Status(TypedDict):
    """What the page says of the run. Answers to repeats are not counted."""

    given: int
    budget: int
    answers_per_hour: int | None
    seconds_left: int | None
    ready: int
    activity: Activity


class Pace:
    """How fast answers have come in the last ten minutes, everybody's together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered_at: deque[float] = deque()

    def add(self, now: float) -> None:
        """One more answer."""
        with self._lock:
            self._answered_at.append(now)

    def per_hour(self, now: float) -> float | None:
        """Answers an hour; None while there are fewer than two."""
        with self._lock:
            while self._answered_at and self._answered_at[0] < now - WINDOW_S:
                self._answered_at.popleft()
            n = len(self._answered_at)
            passed_s = now - self._answered_at[0] if n else 0.0
        return (n - 1) * 3600 / passed_s if n > 1 and passed_s > 0 else None


def page_status(
    run: RunDirectory,
    store: LabelStore,
    desk: LabelDesk,
    labeler: str,
    pace: Pace,
    budget: int,
    now: float,
) -> Status:
    """The figures as they are now; what is ready is ready for this labeler."""
    (given, wanted), rate = answers_given(store, desk, budget), pace.per_hour(now)
    left_s = math.ceil((wanted - given) * 3600 / rate) if rate else None
    activity = activity_of(run)
    if activity == "waiting" and given >= wanted:
        activity = "training"  # it is about to see the last answers
    return {
        "given": given,
        "budget": wanted,
        "answers_per_hour": None if rate is None else round(rate),
        "seconds_left": left_s,
        "ready": desk.ready(now, labeler),
        "activity": activity,
    }


def answers_given(store: LabelStore, desk: LabelDesk, budget: int) -> tuple[int, int]:
    """How many pairs have an answer, and how many are to have one: more where more were asked."""
    given = store.answered()
    return given, max(budget, given + desk.unanswered())


def activity_of(run: RunDirectory) -> Activity:
    """What the agent is doing just now."""
    status = status_of(run)
    if status.state != "running":
        return "stopped"
    return "waiting" if status.doing == WAITING else "training"
