import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from prefrl.config import RewardConfig
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.loss import preference_probability
from prefrl.reward.network import CONVOLUTIONS, FILTERS, LEAK, PairDropout, RewardNetwork
from prefrl.types import TaskSpaces

torch.set_num_threads(1)

SIDE = 43  # the smallest image that the four convolutions take
STACK = 2
MEMBERS = 3
BFLOAT16 = torch.bfloat16
VECTOR = InputSpec(TaskSpaces((4,), None, 2), ("observation", "action"))
IMAGE = InputSpec(TaskSpaces((STACK, SIDE, SIDE), 3, 0), ("observation", "action"))
SPECS = pytest.mark.parametrize("spec", [VECTOR, IMAGE], ids=["vectors", "images"])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(spec: InputSpec, autocast: torch.dtype = torch.float32, **settings) -> RewardNetwork:
    config = RewardConfig(**{"members": MEMBERS, **settings})
    return RewardNetwork(spec, config, generator(), autocast).eval()


def batch(spec: InputSpec, n: int = 6, seed: int = 1) -> tuple[torch.Tensor | None, torch.Tensor]:
    rng = np.random.default_rng(seed)
    vectors = torch.from_numpy(rng.normal(size=(n, spec.vector_size)).astype(np.float32))
    if not spec.spaces.is_image:
        return None, vectors
    return torch.from_numpy(rng.integers(0, 256, (n, STACK, SIDE, SIDE), np.uint8)), vectors


def member_slices(network: RewardNetwork, m: int) -> dict[str, torch.Tensor]:
    """A view of all that belongs to one member, by name."""
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    per_member = {
        name: value.view(MEMBERS, -1) if value.ndim == 1 else value.unflatten(0, (MEMBERS, -1))
        for name, value in state.items()
        if not name.startswith(("input_", "standard.")) and value.ndim
    }
    return {name: value[m] for name, value in per_member.items()}


@SPECS
def test_a_members_weights_reach_no_other_member(spec):
    network, inputs = build(spec), batch(spec)
    before = network(*inputs)
    for name, values in member_slices(network, 0).items():
        changed = copy.deepcopy(network)
        with torch.no_grad():
            member_slices(changed, 0)[name].copy_(values * 1.5 + 0.1)
        after = changed(*inputs)
        assert not torch.equal(after[0], before[0]), name
        assert torch.equal(after[1:], before[1:]), name


@SPECS
def test_a_members_loss_has_no_gradient_in_another(spec):
    network, inputs = build(spec).train(), batch(spec)
    network(*inputs)[0].square().sum().backward()
    for name, parameter in network.named_parameters():
        first, *others = parameter.grad.reshape(MEMBERS, -1)
        biases_that_batch_norm_subtracts = name.startswith("convolutions") and "bias" in name
        assert biases_that_batch_norm_subtracts or first.any(), name
        assert not torch.stack(others).any(), name


def plain_member(network: RewardNetwork, m: int) -> nn.Module:
    """One member as a network of its own, made of PyTorch's ordinary layers."""

    def part(value: torch.Tensor) -> torch.Tensor:
        return value.detach().unflatten(0, (MEMBERS, -1))[m].clone()

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            channels = STACK
            for grouped, norm in zip(network.convolutions, network.norms, strict=True):
                kernel, stride = CONVOLUTIONS[len(layers) // 3]
                convolution = nn.Conv2d(channels, FILTERS, kernel, stride)
                convolution.load_state_dict(
                    {"weight": part(grouped.weight), "bias": part(grouped.bias)}
                )
                batch_norm = nn.BatchNorm2d(FILTERS)
                state = {k: v if not v.ndim else part(v) for k, v in norm.state_dict().items()}
                batch_norm.load_state_dict(state)
                layers += [convolution, batch_norm, nn.LeakyReLU(LEAK)]
                channels = FILTERS
            self.convolutions = nn.Sequential(*layers, nn.Flatten())
            dense: list[nn.Module] = []
            for layer in network.dense:
                _, inputs, outputs = layer.weight.shape
                linear = nn.Linear(inputs, outputs)
                linear.load_state_dict(
                    {"weight": layer.weight[m].detach().T, "bias": layer.bias[m, 0].detach()}
                )
                dense += [linear, nn.LeakyReLU(LEAK)]
            self.dense = nn.Sequential(*dense[:-1])

        def forward(self, images: torch.Tensor | None, vectors: torch.Tensor) -> torch.Tensor:
            if images is not None:
                pixels = network.standard(images)
                vectors = torch.cat([self.convolutions(pixels), vectors], 1)
            return self.dense(vectors)[:, 0]

    return Plain()


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@SPECS
def test_side_by_side_members_equal_networks_of_their_own(spec, training):
    network, inputs = build(spec), batch(spec, n=8)
    for norm in network.norms:  # other than zero and one, or their place would not matter
        nn.init.normal_(norm.running_mean, generator=generator(2))
        nn.init.uniform_(norm.running_var, 0.5, 2, generator=generator(3))
        nn.init.uniform_(norm.weight, 0.5, 2, generator=generator(4))
        nn.init.normal_(norm.bias, generator=generator(5))
    plain = [plain_member(network, m).train(training) for m in range(MEMBERS)]
    together = network.train(training)(*inputs)
    torch.testing.assert_close(
        together, torch.stack([member(*inputs) for member in plain]), rtol=1e-4, atol=1e-5
    )
    assert together.std(0).min() > 1e-3  # members differ, so their order was compared


@pytest.mark.parametrize(("shared", "ties"), [(True, True), (False, False)])
def test_equal_clips_tie_exactly_in_training_mode_where_masks_are_shared(shared, ties):
    network = build(IMAGE).train()
    images, vectors = batch(IMAGE, n=10)
    both = torch.cat([images, images]), torch.cat([vectors, vectors])
    rewards = network(*both, PairDropout(0.5, shared, generator()))
    sums = rewards.reshape(MEMBERS, 2, 2, 5).sum(3)  # two pairs of clips of five steps
    assert bool((preference_probability(sums, 0.1) == 0.5).all()) == ties


def test_both_legs_share_one_set_of_batch_norm_statistics():
    network = build(IMAGE).train()
    images, vectors = batch(IMAGE, n=4)
    other = images // 8  # a much darker leg
    both = torch.cat([images, other])
    network(both, torch.cat([vectors, vectors]))
    norm = network.norms[0]
    with torch.no_grad():
        expected = network.convolutions[0](network.standard(both)).mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, norm.momentum * expected, rtol=1e-4, atol=1e-5)
    assert int(norm.num_batches_tracked) == 1  # one forward pass over both legs


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = torch.ones(20, 16, 30, 30)
    for probability in (0.25, 0.5):
        dropped = PairDropout(probability, True, generator())(x)
        assert float((dropped == 0).float().mean()) == pytest.approx(probability, abs=0.005)
        assert float(dropped.mean()) == pytest.approx(1, abs=0.01)
        kept = dropped[dropped != 0]
        assert torch.equal(kept, torch.full_like(kept, 1 / (1 - probability)))


def test_dropout_scales_what_it_keeps_by_the_probability_that_it_really_uses():
    # 0.3 is rounded to a share of 256; a scale of 1 / 0.7 would shift the mean.
    kept = PairDropout(0.3, True, generator())(torch.ones(2, 1, 50, 50)).max()
    assert float(kept) == pytest.approx(256 / (256 - 77))


def test_dropout_masks_differ_between_frames_channels_and_calls_but_not_between_legs():
    dropout = PairDropout(0.5, True, generator())
    x = torch.ones(6, 4, 9, 9)
    first, second = dropout(x), dropout(x)
    assert torch.equal(first[:3], first[3:])
    assert not torch.equal(first, second)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(first[i], first[j])
        assert not torch.equal(first[:, i], first[:, j])


def test_no_dropout_draws_no_random_numbers():
    source = generator()
    x = torch.ones(2, 3, 4, 4)
    assert PairDropout(0.0, True, source)(x) is x
    assert torch.equal(source.get_state(), generator().get_state())


def test_every_convolution_is_followed_by_dropout():
    seen: list[tuple[int, ...]] = []

    class Spy(PairDropout):
        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(x.shape[1:]))
            return super().__call__(x)

    build(IMAGE).train()(*batch(IMAGE), Spy(0.5, True, generator()))
    width = FILTERS * MEMBERS
    assert seen == [(width, 13, 13), (width, 5, 5), (width, 3, 3), (width, 1, 1)]


@SPECS
def test_prediction_is_deterministic_and_without_dropout(spec):
    config = RewardConfig(members=MEMBERS, dropout=0.9)
    ensemble = RewardEnsemble(spec, config, torch.device("cpu"), torch.float32, generator())
    ensemble.network.train()  # as a round of training leaves it
    rng = np.random.default_rng(0)
    shape = (7, *spec.spaces.observation_shape)
    observations = (
        rng.integers(0, 256, shape, np.uint8)
        if spec.spaces.is_image
        else rng.normal(size=shape).astype(np.float32)
    )
    actions = rng.integers(0, 3, 7) if spec.spaces.is_image else np.ones((7, 2), np.float32)
    steps = observations, actions, observations
    first = ensemble.predict(*steps)
    np.testing.assert_array_equal(first, ensemble.predict(*steps))
    alone = ensemble.predict(*(part[:1] for part in steps))  # nor does the batch matter
    np.testing.assert_allclose(alone, first[:, :1], atol=1e-5)


@pytest.mark.parametrize("autocast", [torch.float32, BFLOAT16])
def test_pixels_are_scaled_to_one_and_only_once(autocast):
    network, seen = build(IMAGE, autocast), []
    network.convolutions[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    images = torch.full((2, STACK, SIDE, SIDE), 255, dtype=torch.uint8)
    images[1] = 51
    network(images, torch.zeros(2, IMAGE.vector_size))
    assert (seen[0][0] == 1).all()
    torch.testing.assert_close(
        seen[0][1].float(), torch.full((STACK, SIDE, SIDE), 0.2), rtol=0.01, atol=0
    )


def test_bright_frames_do_not_overflow():
    # In 8 bits 255 + 255 is 254, and 16 squared is 0: a white image must act as a white one.
    network = build(IMAGE)
    white = torch.full((1, STACK, SIDE, SIDE), 255, dtype=torch.uint8)
    vectors = torch.zeros(1, IMAGE.vector_size)
    plain = plain_member(network, 0).eval()
    torch.testing.assert_close(network(white, vectors)[0], plain(white, vectors))


def test_inputs_are_normalised_and_bounded():
    network = build(VECTOR)
    network.input_mean[:] = 3
    network.input_deviation[:] = 2
    raw = torch.full((1, VECTOR.vector_size), 7.0)
    with_statistics = network(None, raw)
    network.input_mean[:], network.input_deviation[:] = 0, 1
    torch.testing.assert_close(with_statistics, network(None, torch.full_like(raw, 2.0)))
    huge, bound = torch.full_like(raw, 1e9), torch.full_like(raw, 10.0)
    assert torch.equal(network(None, huge), network(None, bound))


@SPECS
def test_weight_squares_are_each_members_weights_without_biases_and_batch_norm(spec):
    network = build(spec)
    expected = []
    for m in range(MEMBERS):
        total = 0.0
        for layer in (*network.convolutions, *network.dense):
            total += sum(
                w * w for w in layer.weight.unflatten(0, (MEMBERS, -1))[m].flatten().tolist()
            )
        expected.append(total)
    assert network.weight_squares().tolist() == pytest.approx(expected, rel=1e-5)


def test_bfloat16_agrees_with_float32_within_a_tenth_of_the_rewards_deviation():
    images, vectors = batch(IMAGE, n=32)
    inputs = images, torch.zeros_like(vectors)  # only the images count
    with torch.no_grad():  # with the batch's statistics, which keep signals large
        exact, fast = (build(IMAGE, dtype).train()(*inputs) for dtype in (torch.float32, BFLOAT16))
    assert fast.dtype == torch.float32
    assert not torch.equal(exact, fast)
    assert float((exact - fast).abs().max()) < 0.1 * float(exact.std(1).min())


@SPECS
def test_the_same_generator_gives_the_same_weights_whatever_the_global_seed(spec):
    torch.manual_seed(1)
    first = build(spec).state_dict()
    torch.manual_seed(2)
    second = build(spec).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_papers_convolutions_and_widths():
    network = build(InputSpec(TaskSpaces((4, 84, 84), 6, 0), ("observation",)))
    shapes = [tuple(layer.weight.shape) for layer in network.convolutions]
    width = FILTERS * MEMBERS
    assert (FILTERS, LEAK) == (16, 0.01)
    assert shapes == [(width, 4, 7, 7), (width, 16, 5, 5), (width, 16, 3, 3), (width, 16, 3, 3)]
    assert [layer.stride for layer in network.convolutions] == [(3, 3), (2, 2), (1, 1), (1, 1)]
    features = 16 * math.prod((7, 7))
    assert [tuple(layer.weight.shape) for layer in network.dense] == [
        (MEMBERS, features, 64), (MEMBERS, 64, 1),
    ]  # fmt: skip
