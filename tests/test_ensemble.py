import dataclasses

import numpy as np
import pytest
import torch

from prefrl.config import RewardConfig
from prefrl.reward import ensemble as ensemble_module
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.types import Clip, TaskSpaces

torch.set_num_threads(1)

SIDE, STACK = 43, 4
VECTOR = InputSpec(TaskSpaces((3,), 4, 0), ("observation", "action"))
IMAGE = InputSpec(TaskSpaces((STACK, SIDE, SIDE), 4, 0), ("observation",))
SPECS = pytest.mark.parametrize("spec", [VECTOR, IMAGE], ids=["vectors", "images"])
DEVIATION = 0.05


def build(spec: InputSpec, seed: int = 0, **settings) -> RewardEnsemble:
    config = RewardConfig(**{"target_deviation": DEVIATION, **settings})
    generator = torch.Generator().manual_seed(seed)
    return RewardEnsemble(spec, config, torch.device("cpu"), torch.float32, generator)


def make_clips(spec: InputSpec, n: int, length: int = 5) -> list[Clip]:
    rng = np.random.default_rng(0)
    clips = []
    for _ in range(n):
        size = length + (STACK if spec.spaces.is_image else 1)
        clips.append(
            Clip(
                rng.integers(0, 256, (size, SIDE, SIDE), np.uint8)
                if spec.spaces.is_image
                else rng.normal(size=(size, 3)).astype(np.float32),
                rng.random(size) < 0.1,
                rng.integers(0, 4, length),
                np.zeros(length, np.float32),
                0,
            )
        )
    return clips


def predict(ensemble: RewardEnsemble, clips: list[Clip]) -> np.ndarray:
    """`[M, N, T]`, by the way the policy takes."""
    stacks = [clip.stacked() for clip in clips]
    rewards = ensemble.predict(
        np.concatenate([s[:-1] for s in stacks]),
        np.concatenate([clip.actions for clip in clips]),
        np.concatenate([s[1:] for s in stacks]),
    )
    return rewards.reshape(len(rewards), len(clips), -1)


@SPECS
def test_a_snapshot_taken_elsewhere_predicts_the_same_to_the_bit(spec):
    first, clips = build(spec), make_clips(spec, 4)
    first.network.input_mean[:] = 0.3
    first.network.input_deviation[:] = 1.7
    for norm in first.network.norms:
        norm.running_mean[:] = 0.2
    first.normalise_over(clips)
    expected = predict(first, clips)
    second = build(spec, seed=1)
    assert not np.array_equal(predict(second, clips), expected)
    second.load(first.snapshot(3, 20, 100))
    np.testing.assert_array_equal(predict(second, clips), expected)


def test_a_snapshot_is_of_its_moment_and_says_what_it_is():
    ensemble, clips = build(VECTOR), make_clips(VECTOR, 4)
    ensemble.normalise_over(clips)
    expected = predict(ensemble, clips)
    snapshot = ensemble.snapshot(3, 20, 100)
    assert (snapshot.version, snapshot.n_labels, snapshot.pause_at_env_step) == (3, 20, 100)
    with torch.no_grad():  # as a further round does
        for parameter in ensemble.network.parameters():
            parameter.mul_(2)
    ensemble.normalise_over(clips[:2])
    ensemble.load(snapshot)
    np.testing.assert_array_equal(predict(ensemble, clips), expected)


def test_weights_of_another_network_are_refused():
    with pytest.raises(RuntimeError, match="size mismatch"):
        build(VECTOR).load(build(VECTOR, hidden=(8,) * 2).snapshot(1, 0, 0))


@SPECS
def test_each_members_rewards_have_mean_zero_and_the_target_deviation(spec):
    ensemble, clips = build(spec), make_clips(spec, 12)
    with torch.no_grad():  # members that differ much in scale and offset
        ensemble.network.dense[-1].weight.mul_(torch.tensor([1.0, 20.0, 300.0])[:, None, None])
        ensemble.network.dense[-1].bias.add_(torch.tensor([0.0, 5.0, -50.0])[:, None, None])
    returned = ensemble.normalise_over(clips)
    rewards = predict(ensemble, clips).astype(np.float64)
    np.testing.assert_allclose(rewards.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(rewards.std((1, 2)), DEVIATION, rtol=1e-5)
    np.testing.assert_allclose(DEVIATION * returned, rewards, atol=1e-5)


@SPECS
def test_the_mean_of_the_normalised_reward_is_a_setting(spec):
    ensemble, clips = build(spec, target_mean=-2.0), make_clips(spec, 12)
    ensemble.normalise_over(clips)
    rewards = predict(ensemble, clips).astype(np.float64)
    np.testing.assert_allclose(rewards.mean((1, 2)), -2 * DEVIATION, atol=1e-6)
    np.testing.assert_allclose(rewards.std((1, 2)), DEVIATION, rtol=1e-5)


def test_normalisation_is_of_the_clips_given_last():
    ensemble, clips = build(VECTOR), make_clips(VECTOR, 12)
    ensemble.normalise_over(clips)
    ensemble.normalise_over(clips[:3])
    np.testing.assert_allclose(predict(ensemble, clips[:3]).mean((1, 2)), 0, atol=1e-6)
    assert np.abs(predict(ensemble, clips).mean((1, 2))).max() > 1e-4


def test_constant_rewards_meet_the_floor_of_the_deviation():
    ensemble, clips = build(VECTOR, deviation_floor=0.25), make_clips(VECTOR, 4)
    with torch.no_grad():
        ensemble.network.dense[-1].weight.zero_()
    ensemble.normalise_over(clips)
    np.testing.assert_array_equal(ensemble.deviations, [0.25] * 3)
    np.testing.assert_allclose(predict(ensemble, clips), 0, atol=1e-7)


@SPECS
def test_prediction_in_chunks_is_the_same(spec, monkeypatch):
    ensemble, clips = build(spec), make_clips(spec, 7)
    whole, whole_clips = predict(ensemble, clips), ensemble.clip_rewards(clips)
    monkeypatch.setattr(ensemble_module, "CHUNK", 8)
    sizes = []
    ensemble.network.register_forward_pre_hook(lambda _, args: sizes.append(len(args[1])))
    np.testing.assert_allclose(predict(ensemble, clips), whole, atol=1e-6)
    assert len(sizes) == 5
    np.testing.assert_allclose(ensemble.clip_rewards(clips), whole_clips, atol=1e-6)
    assert max(sizes) <= 8
    assert whole.std() > 1e-3  # there was something to mix up


def test_clip_rewards_are_the_unnormalised_rewards_of_each_clips_steps():
    ensemble, clips = build(VECTOR), make_clips(VECTOR, 5)
    raw = ensemble.clip_rewards(clips)
    assert raw.shape == (3, 5, 5)
    ensemble.normalise_over(clips)
    np.testing.assert_array_equal(ensemble.clip_rewards(clips), raw)
    np.testing.assert_allclose(ensemble.clip_rewards(clips[3:4])[:, 0], raw[:, 3], atol=1e-6)


def test_predictions_are_single_precision_rows_of_members():
    ensemble = build(VECTOR, members=2)
    clip = make_clips(VECTOR, 1)[0]
    rewards = ensemble.predict(clip.observations[:-1], clip.actions, clip.observations[1:])
    assert rewards.shape == (2, 5)
    assert rewards.dtype == np.float32


def test_true_rewards_are_not_looked_at():
    ensemble, clips = build(VECTOR), make_clips(VECTOR, 3)
    rich = [dataclasses.replace(c, true_rewards=np.full(5, 1e3, np.float32)) for c in clips]
    np.testing.assert_array_equal(ensemble.clip_rewards(clips), ensemble.clip_rewards(rich))
    np.testing.assert_array_equal(ensemble.normalise_over(clips), ensemble.normalise_over(rich))
