import math

import numpy as np
import pytest
import torch

from prefrl.config import RewardConfig
from prefrl.link import Stopped
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.loss import preference_loss
from prefrl.reward.network import batch_norms
from prefrl.reward.preferences import PreferenceRing
from prefrl.reward.trainer import Trainer
from prefrl.types import Clip, Preference, TaskSpaces

torch.set_num_threads(1)

LENGTH, SIDE, STACK, D = 5, 43, 2, 3
VECTOR = InputSpec(TaskSpaces((D,), None, 1), ("observation", "action"))
IMAGE = InputSpec(TaskSpaces((STACK, SIDE, SIDE), 2, 0), ("observation",))
TRUE_WEIGHTS = np.array([1.0, -2.0, 0.5], np.float32)


def build(spec: InputSpec, seed: int = 0, **settings) -> Trainer:
    config = RewardConfig(**settings)
    generator = torch.Generator().manual_seed(seed)
    ensemble = RewardEnsemble(spec, config, torch.device("cpu"), torch.float32, generator)
    return Trainer(ensemble, config, seed)


def vector_clip(rng: np.random.Generator) -> Clip:
    """Random steps whose true reward is linear in the observation; scales differ widely."""
    x = rng.normal(size=(LENGTH + 1, D)).astype(np.float32)
    return Clip(
        x * np.array([100, 1, 0.01], np.float32) + np.array([500, 0, 0], np.float32),
        np.zeros(LENGTH + 1, np.bool_),
        rng.normal(size=(LENGTH, 1)).astype(np.float32),
        x[:-1] @ TRUE_WEIGHTS,
        0,
    )


def image_clip(rng: np.random.Generator) -> Clip:
    """Noise of some brightness, which is the true reward."""
    n = LENGTH + STACK
    brightness = rng.uniform(20, 235)
    frames = brightness + rng.normal(0, 20, (n, SIDE, SIDE))
    return Clip(
        frames.clip(0, 255).astype(np.uint8), np.zeros(n, np.bool_), rng.integers(0, 2, LENGTH),
        np.full(LENGTH, brightness, np.float32), 0,
    )  # fmt: skip


def make_ring(trainer: Trainer, n: int, seed: int = 0) -> PreferenceRing:
    """Right answers about pairs of clips that the trainer has observed."""
    rng = np.random.default_rng(seed)
    draw = image_clip if trainer.ensemble.spec.spaces.is_image else vector_clip
    ring = PreferenceRing(3000, trainer.config.members)
    for i in range(n):
        left, right = draw(rng), draw(rng)
        mu = float(left.true_rewards.sum() > right.true_rewards.sum())
        ring.set(f"query {i}", Preference(f"query {i}", left, right, mu))
    trainer.observe([clip for p in ring.preferences for clip in (p.left, p.right)])
    return ring


def weights_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    state = trainer.ensemble.network.state_dict()
    return {name: value.clone() for name, value in state.items()}


def moments_of(trainer: Trainer) -> list[dict[str, torch.Tensor]]:
    return [dict(trainer.optimiser.state[p]) for p in trainer.ensemble.network.parameters()]


# --- fitting ------------------------------------------------------------------------------------


def test_a_linear_reward_is_learned_from_labels():
    trainer = build(VECTOR, learning_rate=3e-3)
    measured = trainer.fit(make_ring(trainer, 300), epochs=25)
    assert measured["reward/validation_accuracy"] > 0.9
    assert measured["reward/train_accuracy"] > 0.95
    assert measured["reward/validation_loss"] < 0.4
    fresh = [vector_clip(np.random.default_rng(seed)) for seed in range(1000, 1100)]
    predicted = trainer.ensemble.clip_rewards(fresh).mean(0)
    true = np.stack([clip.true_rewards for clip in fresh])
    assert np.corrcoef(predicted.ravel(), true.ravel())[0, 1] > 0.95


def test_labels_the_other_way_round_teach_the_opposite():
    trainer = build(VECTOR, learning_rate=3e-3)
    ring = make_ring(trainer, 150)
    for p in ring.preferences:
        ring.set(p.query_id, Preference(p.query_id, p.left, p.right, 1 - p.mu))
    trainer.fit(ring, epochs=15)
    fresh = [vector_clip(np.random.default_rng(seed)) for seed in range(1000, 1050)]
    predicted = trainer.ensemble.clip_rewards(fresh).mean(0)
    true = np.stack([clip.true_rewards for clip in fresh])
    assert np.corrcoef(predicted.ravel(), true.ravel())[0, 1] < -0.8


def test_the_true_reward_of_a_clip_teaches_nothing():
    def fitted(scale: float) -> dict[str, torch.Tensor]:
        trainer = build(VECTOR)
        ring = make_ring(trainer, 40)
        for p in ring.preferences:
            for clip in (p.left, p.right):
                clip.true_rewards[:] *= scale
        trainer.fit(ring, epochs=1)
        return weights_of(trainer)

    first, second = fitted(1), fitted(-7)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("spec", [VECTOR, IMAGE], ids=["vectors", "images"])
def test_the_same_seed_gives_the_same_weights_to_the_bit(spec):
    def fitted(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(np.random.default_rng().integers(1000))  # nothing global counts
        trainer = build(spec, seed)
        ring = make_ring(trainer, 12)
        for _ in range(2):
            trainer.fit(ring, epochs=1)
        return weights_of(trainer)

    first, second, other = fitted(3), fitted(3), fitted(4)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_vector_observations_are_normalised_by_all_clips_observed_and_actions_are_not():
    trainer = build(VECTOR)
    ring = make_ring(trainer, 30)
    trainer.fit(ring, epochs=1)
    rows = np.concatenate(
        [c.observations[:-1] for p in ring.preferences for c in (p.left, p.right)]
    )
    network = trainer.ensemble.network
    np.testing.assert_allclose(network.input_mean[:D], rows.astype(float).mean(0), rtol=1e-5)
    np.testing.assert_allclose(network.input_deviation[:D], rows.astype(float).std(0), rtol=1e-5)
    assert network.input_mean[D:].tolist() == [0]
    assert network.input_deviation[D:].tolist() == [1]


def test_a_round_stops_between_two_minibatches():
    asked = []

    def stopped() -> bool:
        asked.append(int(trainer.optimiser.state_dict()["state"].get(0, {}).get("step", 0)))
        return len(asked) == 4

    trainer = build(VECTOR, batch_size=8)
    trainer._stopped = stopped
    with pytest.raises(Stopped):
        trainer.fit(make_ring(trainer, 16), epochs=5)
    assert asked == [0, 1, 2, 3]
    assert trainer.rounds == 0


def test_the_end_of_a_round_can_be_stopped_too_and_looks_around_for_each_batch():
    trainer = build(IMAGE, batch_size=8)
    ring, seen = make_ring(trainer, 16), []
    trainer.fit(ring, epochs=0, meanwhile=lambda: seen.append(1))
    batches = 2  # of batch norm; then all clips are measured at once
    assert len(seen) == batches + 1
    for left in range(batches + 1):
        trainer._stopped = iter([False] * left + [True]).__next__
        with pytest.raises(Stopped):
            trainer.fit(ring, epochs=0)


def test_a_round_is_so_many_epochs_over_all_labels_and_nothing_else():
    trainer = build(VECTOR, batch_size=8)
    trainer.fit(make_ring(trainer, 20), epochs=5)
    assert [int(m["step"]) for m in moments_of(trainer)] == [5 * 3] * 6
    assert trainer.rounds == 1


def test_what_enters_is_measured_of_vectors_as_they_enter_the_network():
    trainer = build(VECTOR)
    measured = trainer.fit(make_ring(trainer, 10), epochs=1)  # observations lie around 500
    assert -10 < measured["reward/input_min"] < -1
    assert 1 < measured["reward/input_max"] < 10
    assert 0.5 < measured["reward/input_deviation"] < 1.5


def test_measures_have_values_and_pixels_enter_standardised():
    trainer = build(IMAGE)
    measured = trainer.fit(make_ring(trainer, 10), epochs=1)
    pairs = sum(n for n, _, _ in measured.pop("reward/calibration"))
    assert 0 < pairs < 10 * trainer.config.members  # those held out, by member
    assert all(math.isfinite(value) for value in measured.values()), measured
    assert measured["reward/input_min"] < -1
    assert measured["reward/input_max"] > 1
    assert 0.5 < measured["reward/input_deviation"] < 1.5


# --- what persists ------------------------------------------------------------------------------


def test_the_optimiser_keeps_its_moments_from_round_to_round():
    trainer = build(VECTOR, batch_size=8)
    ring = make_ring(trainer, 16)
    optimiser = trainer.optimiser
    trainer.fit(ring, epochs=2)
    trainer.fit(ring, epochs=3)
    assert trainer.optimiser is optimiser
    assert {int(m["step"]) for m in moments_of(trainer)} == {2 * (2 + 3)}
    assert trainer.rounds == 2


@pytest.mark.parametrize("spec", [VECTOR, IMAGE], ids=["vectors", "images"])
def test_a_trainers_state_carries_moments_l2_and_rounds(spec):
    first = build(spec, l2_factor=3.0)
    ring = make_ring(first, 12)
    first.fit(ring, epochs=2)
    first.l2 = torch.tensor([1e-3, 2e-3, 3e-3])
    second = build(spec, seed=9)
    second.load_state(first.state())
    assert second.rounds == 1
    assert torch.equal(second.l2, first.l2)
    for one, other in zip(moments_of(first), moments_of(second), strict=True):
        assert one.keys() == other.keys() >= {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(m["exp_avg"].any() for m in moments_of(second))


def test_input_statistics_survive_a_restart():
    first = build(VECTOR)
    ring = make_ring(first, 20)
    first.fit(ring, epochs=1)
    second = build(VECTOR)
    second.ensemble.load(first.ensemble.snapshot(1, 20, 0))
    second.load_state(first.state())
    second.fit(ring, epochs=1)  # the restarted run has received no clip yet
    one, other = first.ensemble.network, second.ensemble.network
    torch.testing.assert_close(other.input_mean, one.input_mean)
    torch.testing.assert_close(other.input_deviation, one.input_deviation)


# --- adaptive L2 --------------------------------------------------------------------------------

FACTOR = 2.0


def adapted(ratios: list[float], start: float = 1e-3) -> list[float]:
    trainer = build(VECTOR, members=len(ratios), l2_initial=start, l2_factor=FACTOR)
    trainer._adapt_l2(torch.tensor(ratios, dtype=torch.float64))
    return trainer.l2.tolist()


def test_l2_rises_above_the_high_ratio_falls_below_the_low_and_else_stays_for_each_member():
    moved = adapted([1.51, 1.09, 1.11, 1.49])
    assert moved == pytest.approx([2e-3, 5e-4, 1e-3, 1e-3])


def test_a_member_with_nothing_held_out_keeps_its_l2():
    assert adapted([math.nan, 2.0]) == pytest.approx([1e-3, 2e-3])


def test_l2_stays_within_its_bounds():
    assert adapted([9.0, 9.0], start=9e-3) == pytest.approx([1e-2, 1e-2])
    assert adapted([0.5, 0.5], start=1.5e-7) == pytest.approx([1e-7, 1e-7])


def test_a_factor_of_one_fixes_l2():
    trainer = build(VECTOR, l2_factor=1.0)
    trainer._adapt_l2(torch.tensor([9.0, 0.1, 1.3]))
    assert trainer.l2.tolist() == pytest.approx([1e-4] * 3)


def test_the_ratio_is_of_mean_losses_however_different_the_sets_sizes(monkeypatch):
    trainer = build(VECTOR, members=2, error_rate=0.2)
    ring = make_ring(trainer, 100)
    ratios = []
    monkeypatch.setattr(trainer, "_adapt_l2", ratios.append)
    measured = trainer.fit(ring, epochs=2)
    clips = [p.left for p in ring.preferences] + [p.right for p in ring.preferences]
    sums = torch.from_numpy(trainer.ensemble.clip_rewards(clips)).sum(2).reshape(2, 2, -1)
    losses = preference_loss(sums, torch.from_numpy(ring.mu).double(), 0.2).numpy()
    held_out = ring.weights == 0
    for m in range(2):
        validation, training = losses[m][held_out[m]].mean(), losses[m][~held_out[m]].mean()
        assert held_out[m].sum() < 0.8 * (~held_out[m]).sum()  # sums would have another ratio
        assert float(ratios[0][m]) == pytest.approx(validation / training)
    expected = np.mean([losses[m][held_out[m]].mean() for m in range(2)])
    assert measured["reward/validation_loss"] == pytest.approx(expected)


def test_ties_count_in_no_accuracy():
    trainer = build(VECTOR)
    ring = make_ring(trainer, 40)
    before = trainer.fit(ring, epochs=0)
    rng = np.random.default_rng(9)
    for i in range(40):
        tie = Preference(f"tie {i}", vector_clip(rng), vector_clip(rng), 0.5)
        ring.set(tie.query_id, tie)
    after = trainer.fit(ring, epochs=0)
    for name in ("reward/train_accuracy", "reward/validation_accuracy"):
        assert after[name] == pytest.approx(before[name])


def test_l2_is_a_term_of_the_loss_on_each_members_weights():
    def squares(l2: float) -> float:
        trainer = build(
            VECTOR, l2_initial=l2, l2_minimum=0.0, l2_maximum=10.0, l2_factor=1.0,
            learning_rate=1e-3,
        )  # fmt: skip
        return trainer.fit(make_ring(trainer, 32), epochs=20)["reward/weight_squares"]

    assert squares(1.0) < 0.9 * squares(0.0)


# --- batch norm ---------------------------------------------------------------------------------


def measured_gap(trainer: Trainer, ring: PreferenceRing) -> float:
    """Mean difference of p(left) with the batch's statistics and with those kept, no dropout."""
    pairs = ring.preferences
    clips = [p.left for p in pairs] + [p.right for p in pairs]
    network = trainer.ensemble.network
    kept = trainer.ensemble.clip_rewards(clips).sum(2).reshape(3, 2, -1)
    state = weights_of(trainer)
    network.train()
    with torch.no_grad():
        batch = trainer.ensemble.forward(trainer.ensemble.spec.of_clips(clips))
    network.load_state_dict(state)
    own = batch.double().numpy().reshape(3, 2, len(pairs), LENGTH).sum(3)
    difference = [torch.sigmoid(torch.from_numpy(s[:, 0] - s[:, 1])) for s in (own, kept)]
    return float((difference[0] - difference[1]).abs().mean())


def test_inference_follows_training_only_because_batch_norm_is_estimated_anew(monkeypatch):
    def gap() -> float:
        trainer = build(IMAGE, dropout=0.0, learning_rate=1e-3, batch_size=12)
        ring = make_ring(trainer, 12)
        trainer.fit(ring, epochs=6)
        return measured_gap(trainer, ring)

    reestimated = gap()
    monkeypatch.setattr(Trainer, "_reestimate_batch_norm", lambda self, pairs, look_up: None)
    moving_averages = gap()
    assert reestimated < 0.01
    assert moving_averages > 0.05


def test_reestimation_uses_plain_means_without_dropout_and_leaves_momentum():
    trainer = build(IMAGE, dropout=0.5, batch_size=4)
    ring = make_ring(trainer, 8)
    trainer._reestimate_batch_norm(ring.preferences, look_up=int)
    (first, *_), network = batch_norms(trainer.ensemble.network), trainer.ensemble.network
    assert first.momentum == 0.1
    clips = [clip for p in ring.preferences for clip in (p.left, p.right)]
    images = torch.from_numpy(trainer.ensemble.spec.of_clips(clips).images)
    with torch.no_grad():
        expected = network.convolutions[0](network.standard(images)).mean((0, 2, 3))
    torch.testing.assert_close(first.running_mean, expected, rtol=1e-4, atol=1e-5)


def test_vectors_have_no_batch_norm_to_estimate():
    trainer = build(VECTOR)
    before = weights_of(trainer)
    trainer._reestimate_batch_norm(make_ring(trainer, 4).preferences, look_up=int)
    after = weights_of(trainer)
    assert all(torch.equal(before[name], after[name]) for name in before)
