"""How the policy waits for a newer reward."""

from dataclasses import replace
from types import SimpleNamespace

from policy_side import FakeLink, Silent
from reward_side import some_clips

from prefrl.policy.reward_in_force import RewardInForce
from prefrl.reward.schedule import NEVER
from prefrl.types import ClipPair, RewardSnapshot


class BusyLink(FakeLink):
    """Its queue is full at first; a newer snapshot comes once it was told that the policy waits."""

    refuses = 3

    def offer(self, pair: ClipPair) -> bool:
        self.refuses -= 1
        return self.refuses < 0 and super().offer(pair)

    def latest_snapshot(self) -> RewardSnapshot | None:
        snapshot = super().latest_snapshot()
        if snapshot is None and self.pairs and self.pairs[-1].waits:
            return replace(self.first, version=2, pause_at_env_step=NEVER)
        return snapshot


def test_a_policy_whose_labels_are_overdue_says_once_that_it_waits_and_goes_on_when_it_may():
    link, first, second = BusyLink(), *some_clips(2)
    link.first = link._snapshot = replace(link._snapshot, pause_at_env_step=400)
    recorder = SimpleNamespace(env_steps=500, last_pair=ClipPair(first, second, 480))
    reward = RewardInForce(link, lambda snapshot: None, recorder, Silent(), lambda: False)
    reward.take_latest()
    reward.wait_for_overdue_labels()
    assert reward.snapshot.version == 2
    (told,) = link.pairs
    assert (told.first, told.second, told.env_step, told.waits) == (first, second, 500, True)
    reward.wait_for_overdue_labels()
    assert len(link.pairs) == 1
