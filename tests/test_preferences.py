import numpy as np
import pytest
import torch

from prefrl.config import RewardConfig
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.preferences import PreferenceRing, bootstrap_weights
from prefrl.reward.trainer import Trainer
from prefrl.types import Clip, Preference, TaskSpaces

torch.set_num_threads(1)

MANY = 4000
# Changed values would put labels of existing runs on the other side of the hold-out.
PINNED = {"a": [3, 0, 0, 2, 2], "some query": [0, 2, 0, 0, 2]}


def test_weights_are_those_they_always_were():
    drawn = {name: bootstrap_weights(name, 5).tolist() for name in PINNED}
    assert drawn == PINNED


def test_another_interpreter_draws_the_same_weights(run_python):
    code = (
        "from prefrl.reward.preferences import bootstrap_weights\n"
        "print([bootstrap_weights(n, 5).tolist() for n in ('a', 'some query')])"
    )
    for hash_seed in ("1", "2"):
        done = run_python(code, PYTHONHASHSEED=hash_seed)
        assert done.stdout.strip() == str([[float(w) for w in PINNED[n]] for n in PINNED])


def many_weights(members: int) -> np.ndarray:
    return np.stack([bootstrap_weights(f"query {i}", members) for i in range(MANY)])


def test_a_label_counts_once_on_average_and_one_in_e_is_held_out():
    weights = many_weights(3)
    assert (weights == np.round(weights)).all()
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.05)
    np.testing.assert_allclose((weights == 0).mean(0), 1 / np.e, atol=0.025)
    np.testing.assert_allclose(weights.var(0), 1, atol=0.1)


def test_what_is_held_out_of_one_member_says_nothing_about_another():
    held_out = many_weights(3) == 0
    both = (held_out[:, 0] & held_out[:, 1]).mean()
    assert both == pytest.approx(np.e**-2, abs=0.02)
    assert np.abs(np.corrcoef(many_weights(3).T) - np.eye(3)).max() < 0.05


def test_more_members_leave_the_weights_of_the_others():
    np.testing.assert_array_equal(bootstrap_weights("a", 5)[:3], bootstrap_weights("a", 3))


# --- held out is held out -----------------------------------------------------------------------

MEMBERS, LENGTH, SIDE = 3, 4, 43


def make_clip(seed: int, image: bool) -> Clip:
    rng = np.random.default_rng(seed)
    n = LENGTH + (2 if image else 1)
    frames = rng.integers(0, 256, (n, SIDE, SIDE), np.uint8)
    vectors = rng.normal(size=(n, 3)).astype(np.float32)
    starts = np.zeros(n, np.bool_)
    return Clip(
        frames if image else vectors, starts, rng.integers(0, 4, LENGTH),
        np.zeros(LENGTH, np.float32), 0,
    )  # fmt: skip


def held_out_of_member_0(wanted: bool, n: int) -> list[str]:
    ids = (f"query {i}" for i in range(1000))
    found = [id for id in ids if (w := bootstrap_weights(id, MEMBERS))[1] and bool(w[0]) != wanted]
    return found[:n]


def make_preference(id: str, image: bool, seed: int, mu: float) -> Preference:
    return Preference(id, make_clip(seed, image), make_clip(seed + 1, image), mu)


def one_step(preferences: list[Preference], image: bool) -> list[torch.Tensor]:
    """The gradients of a round's only step, by parameter `[M, ...]`."""
    shape = (2, SIDE, SIDE) if image else (3,)
    config = RewardConfig(members=MEMBERS, l2_initial=0.0, l2_minimum=0.0)
    generator = torch.Generator().manual_seed(0)
    spec = InputSpec(TaskSpaces(shape, 4, 0), ("observation", "action"))
    ensemble = RewardEnsemble(spec, config, torch.device("cpu"), torch.float32, generator)
    ring = PreferenceRing(100, MEMBERS)
    for preference in preferences:
        ring.set(preference.query_id, preference)
    Trainer(ensemble, config, seed=0).fit(ring, epochs=1)
    return [p.grad.unflatten(0, (MEMBERS, -1)) for p in ensemble.network.parameters()]


@pytest.mark.parametrize("image", [False, True], ids=["vectors", "images"])
def test_a_label_held_out_of_a_member_never_changes_its_gradient(image):
    trained = [
        make_preference(id, image, 10 * i, 1.0)
        for i, id in enumerate(held_out_of_member_0(False, 4))
    ]
    (id,) = held_out_of_member_0(True, 1)
    label = one_step([*trained, make_preference(id, image, 90, 1.0)], image)
    opposite = one_step([*trained, make_preference(id, image, 90, 0.0)], image)
    for one, other in zip(label, opposite, strict=True):
        assert torch.equal(one[0], other[0])
    assert any(
        not torch.equal(one[1], other[1]) for one, other in zip(label, opposite, strict=True)
    )


def test_a_members_gradient_is_that_without_what_is_held_out_of_it():
    trained = [
        make_preference(id, False, 10 * i, 1.0)
        for i, id in enumerate(held_out_of_member_0(False, 4))
    ]
    (id,) = held_out_of_member_0(True, 1)
    without = one_step(trained, False)
    with_it = one_step([*trained, make_preference(id, False, 90, 1.0)], False)
    for one, other in zip(with_it, without, strict=True):  # means over 5 pairs and over 4
        torch.testing.assert_close(5 * one[0], 4 * other[0])
    assert any(gradient[0].any() for gradient in with_it)


# --- the ring -----------------------------------------------------------------------------------


def make_ring(size: int, names: str) -> PreferenceRing:
    ring = PreferenceRing(size, MEMBERS)
    for i, name in enumerate(names):
        ring.set(name, make_preference(name, False, i, i / 10))
    return ring


def ids(ring: PreferenceRing) -> str:
    return "".join(preference.query_id for preference in ring.preferences)


def test_the_ring_keeps_the_newest():
    ring = make_ring(3, "abcde")
    assert ids(ring) == "cde"
    assert len(ring) == 3


def test_weights_and_targets_stand_in_the_order_of_the_preferences():
    ring = make_ring(3, "abcde")
    np.testing.assert_allclose(ring.mu, [0.2, 0.3, 0.4])
    expected = np.stack([bootstrap_weights(name, MEMBERS) for name in "cde"], axis=1)
    np.testing.assert_array_equal(ring.weights, expected)


def test_another_answer_changes_a_preference_in_its_place_and_on_its_side():
    ring = make_ring(3, "abc")
    weights = ring.weights
    ring.set("b", make_preference("b", False, 1, 0.75))
    assert ids(ring) == "abc"
    np.testing.assert_allclose(ring.mu, [0, 0.75, 0.2])
    np.testing.assert_array_equal(ring.weights, weights)


def test_none_takes_a_preference_out():
    ring = make_ring(3, "abc")
    ring.set("b", None)
    ring.set("never seen", None)
    assert ids(ring) == "ac"
