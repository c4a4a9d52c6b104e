"""When which label is due."""

import bisect
import math
from dataclasses import dataclass
from typing import Literal

from prefrl.config import Config


@dataclass(frozen=True)
class LabelSchedule:
    """How many labels are due at each environment step.

    Attributes:
        initial: L0, labels due before the policy learns.
        budget: L, labels of the whole run.
        end_step: The step by which all are due.
        half_rate_step: H; at this step the rate is half of the first. Unused by `constant`.
        kind: `decay` or `constant`.
    """

    initial: int
    budget: int
    end_step: int
    half_rate_step: float
    kind: Literal["decay", "constant"]

    @classmethod
    def from_config(cls, config: Config) -> "LabelSchedule":
        """The schedule of a run."""
        return cls(
            initial=config.initial_labels,
            budget=config.label.budget,
            end_step=max(1, int(config.label.schedule_end * config.total_timesteps)),
            half_rate_step=config.label.half_rate_fraction * config.total_timesteps,
            kind=config.label.schedule,
        )

    def due(self, env_step: int) -> int:
        """Labels due at a step: L0 + (L - L0) ln(1 + t/H) / ln(1 + T/H).

        Source: integral of the paper's label rate, proportional to H / (t + H) (appendix A).
        """
        if env_step >= self.end_step:
            return self.budget
        if self.kind == "constant":
            share = env_step / self.end_step
        else:
            share = math.log1p(env_step / self.half_rate_step) / math.log1p(
                self.end_step / self.half_rate_step
            )
        return self.initial + int((self.budget - self.initial) * share)

    def first_step_with(self, labels: int) -> int:
        """The first step at which at least so many labels are due."""
        return bisect.bisect_left(range(self.end_step), labels, key=self.due)

    def pause_step(self, labels: int, round_labels: int) -> int:
        """Where a policy that was taught by so many labels waits for more.

        One round may be overdue, so that both processes work at once; but the last round is
        waited for, because its labels would otherwise teach nobody.
        """
        if labels >= self.budget:
            return NEVER
        return self.first_step_with(min(labels + round_labels + 1, self.budget))


NEVER = 2**62  # an environment step that no run reaches
