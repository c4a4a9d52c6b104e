"""Films what people are shown of a clip, without slowing the training down."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from prefrl.types import Film

# Of the time while the policy learns. A human-labelled run may cost a tenth of the speed, and
# colour Atari takes up to half of that; experiments/film_cost.py measures both.
FILM_SHARE = 0.05

# What becomes of a film once it is offered: pickled, piped to the reward side and unpickled, by
# either core. Source: experiments/film_cost.py.
SECONDS_PER_BYTE = 2e-9

# Time without films that may be made up for: after a wait for labels, that cost nothing, a handful
# of stretches is filmed at once, so that people see the policy as it is now.
CREDIT_S = 5.0


class FilmStudio:
    """A film under way for each environment that is in a stretch to be kept.

    A film is in step with its clip: frame t is the picture of what stands in row t of the clip's
    observations. Where an end is hidden that is the next episode's first; where it shows it is the
    last of the episode, though the environment has been reset since.

    Args:
        venv: Made with `films`: its environments answer `picture` and `last_picture`.
        clock: Seconds that go on.

    Attributes:
        share: Of all time, how much filming may take. 1: as much as it wants.
        seconds: That filming took so far, what is done with films later included.
    """

    def __init__(self, venv: VecEnv, clock: Callable[[], float] = time.perf_counter) -> None:
        self._venv, self._clock = venv, clock
        self._speed = float(venv.get_attr("frames_per_second", 0)[0])
        self._pictures: list[list[NDArray[np.uint8]]] = [[] for _ in range(venv.num_envs)]
        self._affordable_from = clock()
        self.share = 1.0
        self.seconds = 0.0

    def affordable(self) -> bool:
        """Whether a film may begin: what the ones before cost has been made up for."""
        return self._clock() >= self._affordable_from

    def begin(self, environments: NDArray[np.intp]) -> None:
        """Begin a film in each of them, with the picture before the first action."""
        with self._charged():
            pictures = self._take("picture", environments)
            for i, picture in zip(environments, pictures, strict=True):
                self._pictures[i] = [picture]

    def go_on(self, environments: NDArray[np.intp], dones: NDArray[np.bool_]) -> None:
        """Take the picture after a step. An end that shows has a last picture of its own."""
        with self._charged():
            ended = dones[environments]
            for method, which in (
                ("picture", environments[~ended]),
                ("last_picture", environments[ended]),
            ):
                for i, picture in zip(which, self._take(method, which), strict=True):
                    self._pictures[i].append(picture)

    def finish(self, i: int) -> Film:
        """The film of environment i, from its begin up to now."""
        with self._charged():
            film = Film(np.stack(self._pictures[i]), self._speed)
            self._pictures[i] = []
        self._charge(film.frames.nbytes * SECONDS_PER_BYTE)
        return film

    def _take(self, method: str, environments: NDArray[np.intp]) -> list[NDArray[np.uint8]]:
        if not len(environments):
            return []
        return self._venv.env_method(method, indices=environments.tolist())

    @contextmanager
    def _charged(self) -> Iterator[None]:
        since = self._clock()
        yield
        self._charge(self._clock() - since)

    def _charge(self, seconds: float) -> None:
        """Let so much time pass without films that these seconds are their share."""
        self.seconds += seconds
        if self.share < 1:
            begun = self._clock() - seconds
            earliest = begun - CREDIT_S
            self._affordable_from = max(self._affordable_from, earliest) + seconds / self.share
