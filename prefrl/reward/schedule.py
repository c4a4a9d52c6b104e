"""When which label is due."""

import bisect
import math
from dataclasses import dataclass, replace
from typing import Literal

from prefrl.config import Config

NEVER = 2**62  # an environment step that no run reaches


@dataclass(frozen=True)
class LabelSchedule:
    """How many labels are due at each environment step.

    Attributes:
        initial: L0, labels due before the policy learns.
        budget: L, labels of the whole run.
        end_step: The step by which all are due.
        half_rate_step: H; so many steps after the start the rate is half of the first. Unused by
            `constant`.
        kind: `decay` or `constant`.
        start_step: Where the policy begins to learn; until then only the initial labels are due.
    """

    initial: int
    budget: int
    end_step: int
    half_rate_step: float
    kind: Literal["decay", "constant"]
    start_step: int = 0

    @classmethod
    def from_config(cls, config: Config) -> "LabelSchedule":
        """The schedule of a run.

        All labels are due when the last rollout begins, at the latest: later ones teach nobody.
        How many random steps come before the first rollout is not known here, so it may begin
        anywhere within a rollout's length.
        """
        rollout = config.policy.n_steps * config.policy.n_envs
        end_step = min(
            int(config.label.schedule_end * config.total_timesteps),
            config.total_timesteps - 2 * rollout + 1,
        )
        return cls(
            initial=config.initial_labels,
            budget=config.label.budget,
            end_step=max(1, end_step),
            half_rate_step=config.label.half_rate_fraction * config.total_timesteps,
            kind=config.label.schedule,
        )

    def starting_at(self, env_step: int) -> "LabelSchedule":
        """The same for a policy that begins to learn at this step."""
        return replace(self, start_step=env_step)

    def due(self, env_step: int) -> int:
        """Labels due at a step: L0 + (L - L0) ln(1 + t/H) / ln(1 + T/H), both from the start on.

        Source: integral of the paper's label rate, proportional to H / (t + H) (appendix A).
        """
        if env_step < self.start_step:
            return self.initial
        if env_step >= self.end_step:
            return self.budget
        taken, all_steps = env_step - self.start_step, self.end_step - self.start_step
        if self.kind == "constant":
            share = taken / all_steps
        else:
            share = math.log1p(taken / self.half_rate_step) / math.log1p(
                all_steps / self.half_rate_step
            )
        return self.initial + int((self.budget - self.initial) * share)

    def first_step_with(self, labels: int) -> int:
        """The first step at which at least so many labels are due."""
        last = max(self.start_step, self.end_step)
        return bisect.bisect_left(range(last), labels, key=self.due)

    def pause_step(self, labels: int, round_labels: int) -> int:
        """Where a policy that was taught by so many labels waits for more.

        One round may be overdue, so that both processes work at once; but the last round is
        waited for, because its labels would otherwise teach nobody.
        """
        if labels >= self.budget:
            return NEVER
        return self.first_step_with(min(labels + round_labels + 1, self.budget))
