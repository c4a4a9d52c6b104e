"""Whether a policy has learned anything: its evaluation beside that of random actions."""

import math
from collections.abc import Mapping
from typing import Any

from prefrl.runs.archive import mean_of, number_in

STANDARD_ERRORS = 2  # a difference below so many of them may be chance


def no_better_than_random(result: Mapping[str, Any]) -> str:
    """What to say of a policy whose return is not clearly above that of random actions.

    Args:
        result: What stands in a run's `result.json`, which may come from anyone.

    Returns:
        A line for people; empty where the policy is better, or was not evaluated.
    """
    final, random = result.get("true_return"), result.get("random_return")
    mean, by_chance = mean_of(final), mean_of(random)
    if mean is None or by_chance is None:
        return ""
    if mean - by_chance > STANDARD_ERRORS * math.hypot(_error(final), _error(random)):
        return ""
    means = f"a true return of {mean:.1f} against {by_chance:.1f}"
    return f"not clearly better than a random policy: {means}"


def _error(returns: Any) -> float:
    """The standard error of their mean; 0 where it is not known."""
    found = returns if isinstance(returns, Mapping) else {}
    sd, episodes = number_in(found.get("sd")), number_in(found.get("episodes"))
    return abs(sd) / math.sqrt(episodes) if sd is not None and episodes and episodes > 0 else 0.0
