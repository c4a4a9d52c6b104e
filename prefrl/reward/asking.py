"""Which pairs of clips are put to labelers, and when."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from prefrl.config import Config
from prefrl.labels.desk import LabelDesk
from prefrl.labels.store import LabelStore
from prefrl.link import Reporter
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.schedule import NEVER, LabelSchedule
from prefrl.reward.selection import ClipPool, Pair, most_disputed, random_pairs
from prefrl.types import Clip, Query, clips_for

# How often it is looked how many pairs people have left: it is a question to a database.
LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class PolicyState:
    """What the reward side knows of the policy.

    Attributes:
        env_step: How far it is.
        clips_received: From it, in all.
        waits: It takes no more steps until there is a newer snapshot.
    """

    env_step: int
    clips_received: int
    waits: bool


class Asker:
    """Makes queries from the clips of the pool, until the budget is used.

    An oracle is asked for a round's labels when the first of them is due, and for all initial ones
    together. People are asked ahead: `label.ahead` pairs wait for them, from the first clips on,
    because nobody waits willingly for the next pair; but no more of the budget is spent early.

    Args:
        config: Of the run.
        store: Where queries go.
        pool: The clips.
        ensemble: Whose members dispute about pairs.
        desk: What people see of the store; None where an oracle answers.
        reporter: Who is told when nothing is left to ask.

    Attributes:
        schedule: When labels are due; it starts with the first snapshot.
        asked: Queries so far, those stored before this run included.
        given_up: Labels of the budget for which no pair was left.
        first_clips: That the random policy sends, and then waits.
    """

    def __init__(
        self,
        config: Config,
        store: LabelStore,
        pool: ClipPool,
        ensemble: RewardEnsemble,
        desk: LabelDesk | None,
        reporter: Reporter,
        meanwhile: Callable[[], None],
    ) -> None:
        self._config, self._store, self._pool = config.label, store, pool
        self._ensemble, self._desk, self._reporter = ensemble, desk, reporter
        self._meanwhile = meanwhile
        self.schedule = LabelSchedule.from_config(config).starting_at(NEVER)
        self._initial = config.initial_labels
        self._pairs = store.pairs()
        self.asked = len(self._pairs)
        self.given_up = 0
        self.first_clips = config.random_clips(store.answered())
        self._rng = np.random.default_rng((config.seed, 1))
        self._looked_at = float("-inf")

    def ask(self, policy: PolicyState, version: int, more: bool, at_random: bool = False) -> bool:
        """Put queries to the labelers if it is time. False when there was nothing to ask.

        Args:
            policy: How far it is.
            version: Of the newest snapshot, 0 before the first.
            more: The initial labels do not suffice: too few say which clip is better.
            at_random: Whatever the members dispute about.

        Raises:
            RuntimeError: The random policy's clips are all alike.
        """
        wanted = min(self._wanted(policy, more), self.left)
        if wanted <= 0:
            return False
        pairs = self._choose(wanted, at_random or version == 0)
        if pairs:
            self._put(pairs, policy.env_step, version)
        elif self._desk is None or (policy.waits and not self._desk.unanswered()):
            self._give_up(wanted)
        return bool(pairs)

    @property
    def lacks_clips(self) -> bool:
        """Whether there are too few clips to make as many pairs as the budget has labels."""
        return len(self._clips()) < clips_for(self._config.budget)

    def ask_for_the_rest(self, env_step: int, version: int) -> None:
        """Make queries for all that is left of the budget, for people to answer after the run."""
        clips = self._clips()
        left = self._config.budget - self.asked  # what was given up may be answered after all
        if len(clips) > 1:
            pairs = random_pairs(clips, left, self._pairs, self._rng)
            self._put(pairs, env_step, version)
            left -= len(pairs)
        if left > 0:
            self._reporter.warn(f"there were too few clips: {left} labels have no pair to be about")

    def _clips(self) -> list[Clip]:
        """Those that the labelers can be shown."""
        clips = self._pool.clips()
        if self._desk is None:
            return clips
        seen = self._pool.sheets_of(clip.id for clip in clips)
        return [clip for clip in clips if clip.id in seen]

    @property
    def _settled(self) -> int:
        return self.asked + self.given_up

    @property
    def left(self) -> int:
        """Labels of the budget that were neither asked for nor given up."""
        return self._config.budget - self._settled

    def _wanted(self, policy: PolicyState, more: bool) -> int:
        due = self.schedule.due(policy.env_step)
        if self._desk is not None:
            early = 0 if more else self._settled - due  # below 0 where labels are overdue
            return min(self._missing(self._desk), self._config.ahead - early)
        first = self._initial - self._settled
        if first > 0:
            return first if policy.clips_received >= self.first_clips else 0
        # With `more` the policy stands still: the schedule alone would never ask again.
        return self._config.round_labels if more or due > self._settled else 0

    def _missing(self, desk: LabelDesk) -> int:
        """How many pairs people should have before them, and have not."""
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return 0
        self._looked_at = time.monotonic()
        return self._config.ahead - desk.untouched(time.time())

    def _choose(self, n: int, at_random: bool) -> list[Pair]:
        clips = self._clips()
        if len(clips) < 2:
            return []
        if self._config.query_selection == "random" or at_random:
            return random_pairs(clips, n, self._pairs, self._rng)
        candidates = random_pairs(clips, n * self._config.candidates, self._pairs, self._rng)
        return most_disputed(candidates, n, self._ensemble, self._meanwhile)

    def _put(self, pairs: Sequence[Pair], env_step: int, version: int) -> None:
        queries = [Query(first.id, second.id, env_step, version) for first, second in pairs]
        clips = {clip.id: clip for pair in pairs for clip in pair}
        self._store.add_queries(queries, clips, self._pool.sheets_of(clips))
        self._pairs |= {frozenset((query.left, query.right)) for query in queries}
        self.asked += len(queries)

    def _give_up(self, n: int) -> None:
        """Every pair in the pool was asked: go on without these labels, and say so."""
        if not self.asked:
            raise RuntimeError(
                f"{len(self._pool)} different clips came from the random policy: "
                "there is nothing to compare. A longer --env.clip-length may help."
            )
        self.given_up += n
        self._reporter.warn(f"no new pair of clips was left: {n} labels were not asked for")
