"""Cuts clips from all environments, and remembers the rollout that is under way."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from prefrl.metrics import Stopwatch
from prefrl.policy.films import FilmStudio
from prefrl.types import Clip, ClipPair, Film


@dataclass(frozen=True)
class Step:
    """One step of all n environments, raw.

    Attributes:
        observations: `[n, ...]`, what the policy saw before it.
        actions: `[n]` or `[n, A]`, as the policy gave them.
        next_observations: `[n, ...]`: at an end that shows the last observation of the old episode,
            elsewhere what the policy sees next.
        true_rewards: `[n] float32`.
        starts: `[n] bool`, the observations before it are the first of their episodes.
        hidden: `[n] bool`, an episode ended and the agent was not told.
        dones: `[n] bool`, an episode ended and the agent was told.
    """

    observations: NDArray[np.generic]
    actions: NDArray[np.generic]
    next_observations: NDArray[np.generic]
    true_rewards: NDArray[np.float32]
    starts: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    dones: NDArray[np.bool_]


@dataclass(frozen=True)
class Episode:
    """A finished episode's true return and length in decisions."""

    true_return: float
    length: int


class ClipRecorder(VecEnvWrapper):
    """Records what passes by, and gives SB3 no true reward.

    Args:
        venv: Environments with raw observations, ends hidden or not.
        clip_length: T.
        clip_fraction: Fraction of the stretches of T steps that become clips.
        pass_rewards: Give SB3 the true rewards; only the baseline does.
        offer: Takes a pair; False when it was dropped. Never waits.
        rng: Chooses the stretches, each as it begins.
        films: Film each clip, for people; `venv` was made with `films` too.

    Attributes:
        rollout: The steps since it was last cleared.
        episodes: Episodes that ended since this was last cleared.
        env_steps: Decisions so far, over all environments.
        pairs_sent: Pairs that the queue took.
        clips_dropped: Clips of pairs that it did not take.
        keep_refused: Keep pairs that it did not take, for `offer_refused`, instead.
        studio: Films the clips; None where nobody will look.
    """

    def __init__(
        self,
        venv: VecEnv,
        clip_length: int,
        clip_fraction: float,
        pass_rewards: bool,
        offer: Callable[[ClipPair], bool],
        rng: np.random.Generator,
        films: bool = False,
    ) -> None:
        super().__init__(venv)
        self.clip_length, self._fraction, self._pass_rewards = (
            clip_length,
            clip_fraction,
            pass_rewards,
        )
        self._offer, self._rng = offer, rng
        self._history: deque[Step] = deque(maxlen=clip_length)
        self._age = np.zeros(venv.num_envs, np.int64)  # steps in each environment's open stretch
        self._kept = np.zeros(venv.num_envs, np.bool_)  # which of them will become clips
        self._returns = np.zeros(venv.num_envs)
        self._lengths = np.zeros(venv.num_envs, np.int64)
        self._waiting: tuple[Clip, Film | None] | None = None
        self.studio = FilmStudio(venv) if films else None
        self.stopwatch = Stopwatch()
        self.rollout: list[Step] = []
        self.episodes: list[Episode] = []
        self.env_steps = self.pairs_sent = self.clips_dropped = 0
        self.last_pair: ClipPair | None = None
        self.keep_refused = False
        self.refused: deque[ClipPair] = deque()

    def reset(self) -> VecEnvObs:
        """Begin anew; open stretches are forgotten."""
        observations = self.venv.reset()
        assert isinstance(observations, np.ndarray)
        self._observations = observations
        self._started = np.ones(self.num_envs, np.bool_)
        self._age[:], self._returns[:], self._lengths[:] = 0, 0, 0
        self._history.clear()
        return observations

    def step_async(self, actions: NDArray[np.generic]) -> None:
        """Send the actions, after choosing among the stretches that begin with them."""
        beginning = self._age == 0
        if beginning.any():
            self._choose(np.flatnonzero(beginning))
        self._actions = np.array(actions)
        self.venv.step_async(actions)

    def _choose(self, beginning: NDArray[np.intp]) -> None:
        kept = self._rng.random(len(beginning)) < self._fraction
        if self.studio is not None:
            kept &= self.studio.affordable()
            if kept.any():
                self.studio.begin(beginning[kept])
        self._kept[beginning] = kept

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step, keep it, and cut the clips that are full."""
        with self.stopwatch("environment"):
            observations, rewards, dones, infos = self.venv.step_wait()
        assert isinstance(observations, np.ndarray)
        next_observations = observations
        if dones.any():
            next_observations = observations.copy()
            for i in np.flatnonzero(dones):
                next_observations[i] = infos[i]["terminal_observation"]
        hidden = np.array(["hidden_end" in info for info in infos])
        step = Step(
            self._observations, self._actions, next_observations, rewards.astype(np.float32),
            self._started, hidden, dones,
        )  # fmt: skip
        self._observations, self._started = observations, dones | hidden
        self.env_steps += self.num_envs
        self.rollout.append(step)
        with self.stopwatch("record"):
            # Penalties and clipping are for the oracle's eyes; the return that a person reads has
            # neither.
            withheld = np.array([info.get("withheld", 0.0) for info in infos])
            self._count_episodes(step.true_rewards + withheld)
            self._cut(step)
        return observations, rewards if self._pass_rewards else np.zeros_like(rewards), dones, infos

    def _count_episodes(self, true_rewards: NDArray[np.floating]) -> None:
        self._returns += true_rewards
        self._lengths += 1
        for i in np.flatnonzero(self._started):
            self.episodes.append(Episode(float(self._returns[i]), int(self._lengths[i])))
            self._returns[i], self._lengths[i] = 0, 0

    def _cut(self, step: Step) -> None:
        """Make a clip of each stretch that is full; an end that shows begins a new one."""
        self._history.append(step)
        self._age += 1
        full = self._age == self.clip_length
        if self.studio is not None and self._kept.any():
            self.studio.go_on(np.flatnonzero(self._kept), step.dones)
        for i in np.flatnonzero(full & self._kept):
            film = self.studio.finish(int(i)) if self.studio is not None else None
            self._pair(self._clip(int(i)), film)
        self._age[full | step.dones] = 0

    def _pair(self, clip: Clip, film: Film | None) -> None:
        if self._waiting is None:
            self._waiting = clip, film
            return
        first, first_film = self._waiting
        films = None if first_film is None or film is None else (first_film, film)
        self.last_pair = ClipPair(first, clip, self.env_steps, films)
        self._waiting = None
        if self._offer(self.last_pair):
            self.pairs_sent += 1
        elif self.keep_refused:
            self.refused.append(self.last_pair)
        else:
            self.clips_dropped += 2

    def offer_refused(self) -> bool:
        """Offer the pairs that were kept again; True when none is left."""
        while self.refused and self._offer(self.refused[0]):
            self.refused.popleft()
            self.pairs_sent += 1
        return not self.refused

    def _clip(self, i: int) -> Clip:
        """The last T steps of environment i. Steps hold views; a clip is a copy."""
        steps = list(self._history)
        first = steps[0].observations[i]
        if first.ndim == 3:  # a stack: all its frames, then the newest of each later one
            later = [step.next_observations[i, -1:] for step in steps]
            frames = np.concatenate([first, *later])
            before = [False] * (len(first) - 1)
        else:
            frames = np.stack([first, *(step.next_observations[i] for step in steps)])
            before = []
        actions = np.stack([step.actions[i] for step in steps])
        return Clip(
            observations=frames,
            starts=np.array([*before, steps[0].starts[i], *(step.hidden[i] for step in steps)]),
            actions=actions.astype(np.int64) if actions.ndim == 1
            else actions.reshape(len(steps), -1).astype(np.float32),
            true_rewards=np.array([step.true_rewards[i] for step in steps], np.float32),
            env_step=self.env_steps,
        )  # fmt: skip
