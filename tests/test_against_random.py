"""A result is held against that of random actions, whoever wrote it."""

import pytest

from prefrl.runs.against_random import no_better_than_random


def returns(mean, sd=0.0, episodes=20):
    return {"mean": mean, "sd": sd, "episodes": episodes}


@pytest.mark.parametrize(
    ("final", "random", "better"),
    [
        (returns(10.0, 4.0), returns(-5.0, 4.0), True),
        (returns(-67.0, 4.0), returns(-66.0, 4.0), False),
        (returns(-64.0, 4.0), returns(-66.0, 4.0), False),  # under two standard errors above
        (returns(-64.0, 4.0, 2000), returns(-66.0, 4.0, 2000), True),
        (returns(1.0), returns(1.0), False),
        (returns(1.1), returns(1.0), True),
    ],
)
def test_better_is_to_be_more_than_two_standard_errors_above(final, random, better):
    verdict = no_better_than_random({"true_return": final, "random_return": random})
    assert (verdict == "") == better
    if not better:
        assert verdict.startswith("not clearly better than a random policy: a true return of ")


@pytest.mark.parametrize(
    "wrong", [None, {}, [], "x", {"mean": "x"}, {"mean": float("nan")}, {"mean": 10**400}]
)
def test_nothing_is_said_of_what_was_not_evaluated(wrong):
    for result in ({"true_return": wrong, "random_return": returns(0.0)},
                   {"true_return": returns(0.0), "random_return": wrong}):  # fmt: skip
        assert no_better_than_random(result) == ""


@pytest.mark.parametrize("wrong", ["x", None, -1, 0, True, 10**400])
def test_a_spread_that_makes_no_sense_counts_as_none(wrong):
    final = {"mean": 2.0, "sd": wrong, "episodes": wrong}
    assert no_better_than_random({"true_return": final, "random_return": returns(1.0)}) == ""
