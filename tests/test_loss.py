import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prefrl.reward.loss import preference_loss, preference_probability

torch.set_num_threads(1)

ERROR_RATE = 0.1
unhurried = settings(deadline=None)  # torch's first call takes long

sums = st.lists(st.tuples(*[st.floats(-50, 50)] * 2), min_size=1, max_size=6)
mus = st.floats(0, 1)


def clip_sums(pairs: list[tuple[float, float]]) -> torch.Tensor:
    """`[M = 1, 2, P]` in double precision."""
    return torch.tensor(pairs, dtype=torch.float64).T[None]


@unhurried
@given(sums)
def test_swapping_the_clips_gives_one_minus_p(pairs):
    p = preference_probability(clip_sums(pairs), ERROR_RATE)
    swapped = preference_probability(clip_sums(pairs).flip(1), ERROR_RATE)
    torch.testing.assert_close(swapped, 1 - p)


@unhurried
@given(sums, mus)
def test_swapping_clips_and_label_leaves_the_loss(pairs, mu):
    mu = torch.full((len(pairs),), mu, dtype=torch.float64)
    loss = preference_loss(clip_sums(pairs), mu, ERROR_RATE)
    swapped = preference_loss(clip_sums(pairs).flip(1), 1 - mu, ERROR_RATE)
    torch.testing.assert_close(swapped, loss)


@unhurried
@given(st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, ERROR_RATE, 0.3]))
def test_equal_clips_give_exactly_one_half(total, error_rate):
    p = preference_probability(torch.full((2, 2, 3), total), error_rate)
    assert (p == 0.5).all()


def test_the_larger_sum_is_the_likelier_to_be_preferred():
    p = preference_probability(clip_sums([(2.0, 1.0), (1.0, 2.0)]), ERROR_RATE)[0]
    assert p[0] > 0.5 > p[1]


@unhurried
@given(st.lists(st.tuples(*[st.floats(-1e30, 1e30)] * 2), min_size=1))
def test_the_error_rate_bounds_p(pairs):
    p = preference_probability(clip_sums(pairs), ERROR_RATE)
    assert p.min() >= 0.05 - 1e-12
    assert p.max() <= 0.95 + 1e-12


def test_a_sure_prediction_is_as_sure_as_the_labeler_is_reliable():
    p = preference_probability(clip_sums([(1e3, 0.0), (0.0, 1e3)]), ERROR_RATE)[0]
    assert p.tolist() == pytest.approx([0.95, 0.05])


def test_the_error_rate_bounds_the_loss_of_a_confidently_wrong_label():
    sure = clip_sums([(1e6, 0.0)])
    wrong = preference_loss(sure, torch.zeros(1), ERROR_RATE)
    assert float(wrong) == pytest.approx(-math.log(0.05))
    assert float(preference_loss(sure, torch.zeros(1), 0.0)) > 10


@pytest.mark.parametrize("error_rate", [0.0, ERROR_RATE])
@pytest.mark.parametrize("mu", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("difference", [1e2, 1e4, 3e38])
def test_a_saturated_pair_has_a_finite_gradient(difference, mu, error_rate):
    sums = torch.tensor([[[difference], [0.0]]], requires_grad=True)
    loss = preference_loss(sums, torch.tensor([mu]), error_rate)
    assert loss.isfinite().all()
    loss.sum().backward()
    assert sums.grad.isfinite().all()


def naive(left: float, right: float, mu: float, error_rate: float) -> float:
    """The paper's formula, word by word, in Python's double precision."""
    p = (1 - error_rate) * math.exp(left) / (math.exp(left) + math.exp(right)) + error_rate * 0.5
    return -(mu * math.log(p) + (1 - mu) * math.log(1 - p))


@unhurried
@given(st.data(), st.sampled_from([0.0, ERROR_RATE]))
def test_the_loss_of_each_member_on_each_pair_is_the_papers(data, error_rate):
    members, pairs = 3, 4
    # Within 10, so that without an error rate the clamp is not met.
    numbers = st.lists(st.floats(-5, 5), min_size=2 * pairs, max_size=2 * pairs)
    rows = [data.draw(numbers) for _ in range(members)]
    mu = data.draw(st.lists(mus, min_size=pairs, max_size=pairs))
    sums = torch.tensor(rows, dtype=torch.float64).reshape(members, 2, pairs)
    expected = [
        [naive(*sums[m, :, i].tolist(), mu[i], error_rate) for i in range(pairs)]
        for m in range(members)
    ]
    loss = preference_loss(sums, torch.tensor(mu, dtype=torch.float64), error_rate)
    assert loss.shape == (members, pairs)
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-9)


def test_the_gradient_is_that_of_the_loss():
    sums = torch.tensor([[[2.0, -1.0], [0.5, 0.3]]], dtype=torch.float64, requires_grad=True)
    mu = torch.tensor([0.5, 0.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: preference_loss(x, mu, ERROR_RATE), sums)
