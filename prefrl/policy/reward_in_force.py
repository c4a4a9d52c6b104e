"""The reward that the policy learns from at the moment: the newest snapshot that has arrived."""

import time
from collections.abc import Callable
from dataclasses import replace

from prefrl.link import PolicyLink, Reporter
from prefrl.policy.recorder import ClipRecorder
from prefrl.run_status import WAITING
from prefrl.types import RewardPredictor, RewardSnapshot

PredictorOf = Callable[[RewardSnapshot], RewardPredictor]


class RewardInForce:
    """Swaps in newer snapshots, and makes the policy wait where labels are overdue.

    Args:
        link: To the reward side.
        predictor_of: Builds a predictor from a snapshot.
        recorder: Knows how far the policy is.
        reporter: Who is told that the policy waits.
        stopped: Whether nothing is to be waited for any more.

    Attributes:
        snapshot: None before the first has arrived.
        since: The environment step at which it came.
    """

    def __init__(
        self,
        link: PolicyLink,
        predictor_of: PredictorOf,
        recorder: ClipRecorder,
        reporter: Reporter,
        stopped: Callable[[], bool],
    ) -> None:
        self._link, self._predictor_of, self._recorder = link, predictor_of, recorder
        self._reporter, self._stopped = reporter, stopped
        self._predictor: RewardPredictor | None = None
        self.snapshot: RewardSnapshot | None = None
        self.since = 0

    @property
    def predictor(self) -> RewardPredictor:
        """What predicts rewards; there must be a snapshot."""
        assert self._predictor is not None, "no snapshot has arrived"
        return self._predictor

    def take_latest(self) -> None:
        """Swap in a newer snapshot, if there is one."""
        snapshot = self._link.latest_snapshot()
        if snapshot is not None:
            self.snapshot, self._predictor = snapshot, self._predictor_of(snapshot)
            self.since = self._recorder.env_steps

    def wait_for_overdue_labels(self) -> None:
        """Pause while the reward side is more than a round behind the schedule.

        The last pair is offered again until it is taken: it tells the reward side how far we are,
        and a repeated clip is known by its content.
        """
        told = False
        while (
            self.snapshot is not None
            and self._recorder.last_pair is not None  # without a pair nobody can be told
            and self._recorder.env_steps >= self.snapshot.pause_at_env_step
            and not self._stopped()
        ):
            self._reporter.progress({"policy": WAITING})
            if not told:
                last = self._recorder.last_pair
                told = self._link.offer(
                    replace(last, env_step=self._recorder.env_steps, waits=True)
                )
            self.take_latest()
            time.sleep(0.001)
        self._reporter.progress({"policy": "learning"})
