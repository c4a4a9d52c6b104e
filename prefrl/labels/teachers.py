"""How a synthetic labeler judges two clips by their true rewards: the teachers of B-Pref.

Source: Lee et al. 2021, "B-Pref: Benchmarking Preference-Based Reinforcement Learning"
(arXiv 2111.03026), section 3.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefrl.types import Answer

_OPPOSITE: dict[Answer, Answer] = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Teacher:
    """A way to judge, from perfect (the default) to as erring as people are.

    Attributes:
        rationality: Beta of the Bradley-Terry model that preferences are drawn from: 0 is guessing,
            None is infinity: the larger return always wins, and a tie is equal.
        myopia: Gamma, by which every later step is worth more than the one before; 1: all the same.
        mistake_probability: Epsilon: a preference is turned round. No other answer is.
        skip_threshold: Where neither clip's sum of rewards reaches it, the pair is incomparable.
        equal_threshold: Sums that lie closer together than this are equal.
    """

    rationality: float | None = None
    myopia: float = 1.0
    mistake_probability: float = 0.0
    skip_threshold: float | None = None
    equal_threshold: float = 0.0

    def judge(
        self, left: NDArray[np.float32], right: NDArray[np.float32], rng: np.random.Generator
    ) -> Answer:
        """The answer about two clips' true rewards, `[T] float32` each."""
        mistaken = rng.random() < self.mistake_probability
        sums = total(left), total(right)
        if self.skip_threshold is not None and max(sums) < self.skip_threshold:
            return "incomparable"
        if abs(sums[0] - sums[1]) < self.equal_threshold:
            return "equal"
        answer = self._prefer(total(left, self.myopia), total(right, self.myopia), rng)
        return _OPPOSITE.get(answer, answer) if mistaken else answer

    def _prefer(self, left: float, right: float, rng: np.random.Generator) -> Answer:
        if self.rationality is None:
            return "equal" if left == right else "left" if left > right else "right"
        return "left" if rng.random() < bradley_terry(left, right, self.rationality) else "right"


def total(rewards: NDArray[np.float32], myopia: float = 1.0) -> float:
    """The sum over t = 1 .. T of gamma^(T - t) r_t, in double precision."""
    weights = np.power(myopia, np.arange(len(rewards))[::-1], dtype=np.float64)
    return float((weights * rewards).sum())


def bradley_terry(left: float, right: float, rationality: float) -> float:
    """Probability that the left one is preferred: exp(beta l) / (exp(beta l) + exp(beta r))."""
    exponent = rationality * (right - left)
    # The larger power stands below the line, so that nothing overflows.
    if exponent > 0:
        return math.exp(-exponent) / (1 + math.exp(-exponent))
    return 1 / (1 + math.exp(exponent))
