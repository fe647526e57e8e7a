"""MADE: masks equal to their drawing, causality under every mask and order, mixtures of masks that sum to one."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from gen_dist.capabilities import Completes
from gen_dist.learner import Context, Loss
from gen_dist.models.autoregressive.made import MADE, MADEConfig, MADEEnsemble
from gen_dist.models.autoregressive.mixtures import LogisticMixture
from gen_dist.nn.masked_dense import IncrementalMaskedNetwork, MaskedNetwork, hidden_degrees
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64


def spread(model: torch.nn.Module) -> None:
    """Weights far from their start."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.1 * torch.randn_like(parameter))


def ensemble(colours: int, height: int, width: int, config: MADEConfig | None = None) -> MADEEnsemble:
    torch.manual_seed(1)
    config = config or MADEConfig(hidden=(16, 12), num_masks=3, random_orders=True)
    model = config.build(DataSpec(channels=colours, height=height, width=width)).double()
    assert isinstance(model, MADEEnsemble)
    spread(model)
    return model


def every_image(colours: int, height: int, width: int) -> Tensor:
    values = list(itertools.product((0, 255), repeat=colours * height * width))
    return torch.tensor(values, dtype=torch.uint8).reshape(-1, colours, height, width)


def test_masks_equal_their_drawing() -> None:
    network = MaskedNetwork(torch.tensor([[1, 2, 3]]), [4], 1, direct=True, generator=torch.Generator())
    network.degree_1 = torch.tensor([[1, 2, 1, 2]])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
        (enter,), leave, direct = network.masked_weights(0)
    assert direct is not None
    drawn = (["100", "110", "100", "110"], ["0000", "1010", "1111"], ["000", "100", "110"])
    for mask, rows in zip((enter, leave, direct), drawn, strict=True):
        assert torch.equal(mask, torch.tensor([[float(cell) for cell in row] for row in rows]))


def test_hidden_degrees_lie_between_the_layer_before_and_the_last_value() -> None:
    first, second = hidden_degrees([50, 400], 10, 4, torch.Generator().manual_seed(0))
    assert first.shape == (4, 50)
    assert int(first.min()) == 1
    assert int(first.max()) == 9
    for mask in range(4):
        assert int(second[mask].min()) == int(first[mask].min())
        assert set(second[mask].tolist()) == set(range(int(first[mask].min()), 10))
    assert not torch.equal(first[0], first[1])  # each mask draws its own
    (again,) = hidden_degrees([50], 10, 4, torch.Generator().manual_seed(0))
    assert torch.equal(again, first)


@pytest.mark.parametrize("random_orders", [True, False])
@pytest.mark.parametrize("direct", [True, False])
def test_no_value_sees_what_comes_later_in_its_mask_s_order(direct: bool, random_orders: bool) -> None:
    """Exactly zero on the future; nonzero on the whole past, as there are units of every degree."""
    config = MADEConfig(hidden=(300, 300), num_masks=2, random_orders=random_orders, direct=direct)
    model = ensemble(3, 2, 2, config)
    num, seen = 12, []
    for mask in range(2):
        values = torch.randn(1, num, dtype=DOUBLE)
        jacobian = torch.autograd.functional.jacobian(lambda v, k=mask: model.network(v, k)[0, :, 0], values)
        assert isinstance(jacobian, Tensor)
        order = model.network.degrees(mask)[0].argsort()
        slopes = jacobian[:, 0][order][:, order]
        assert (slopes.triu() == 0.0).all()
        assert (slopes.tril(-1) != 0.0).sum() == num * (num - 1) // 2
        seen.append(order.tolist())
    assert (seen[0] != seen[1]) == random_orders
    assert random_orders or seen[0] == list(range(num))


@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 1, 3)])
def test_the_mixture_of_masks_is_the_average_of_probabilities_that_sum_to_one(shape: tuple[int, int, int]) -> None:
    model = ensemble(*shape)
    images = every_image(*shape)
    with torch.no_grad():
        each = torch.stack([model.masked_log_probability(images, mask).exp() for mask in range(3)])
    torch.testing.assert_close(each.sum(1), torch.ones(3, dtype=DOUBLE))
    assert (each[0] - each[1]).abs().max() > 1e-3  # the masks are different models of one set of weights
    mixture = model.log_probability(images).exp()
    torch.testing.assert_close(mixture, each.mean(0))
    torch.testing.assert_close(mixture.sum(), torch.ones((), dtype=DOUBLE))


def test_a_round_trains_one_mask_and_the_next_round_the_next() -> None:
    model = ensemble(1, 2, 3)
    images = torch.randint(0, 256, (6, 1, 2, 3), dtype=torch.uint8)
    (phase,) = model.phases
    for number in range(7):
        signal = phase.signal(ImageBatch(images=images), Context(Moment(round=number), 0, 5, {}))
        assert isinstance(signal, Loss)
        nats = -model.masked_log_probability(images, number % 3).mean()
        torch.testing.assert_close(signal.value.detach(), nats.detach() / (6 * math.log(2.0)))


def test_samples_of_the_ensemble_have_the_mixture_s_probabilities() -> None:
    model = ensemble(1, 2, 2)
    num = 20_000
    expected = num * model.log_probability(every_image(1, 2, 2)).exp()
    drawn = (model.sample(num) > 0).flatten(1).long() @ torch.tensor([8, 4, 2, 1])
    counts = torch.bincount(drawn, minlength=16).double()
    often = expected > 5.0
    degrees = int(often.sum()) - 1
    assert degrees > 5
    chi_square = ((counts - expected).square() / expected)[often].sum()
    assert chi_square < degrees + 5.0 * math.sqrt(2.0 * degrees)  # five standard deviations


def test_colour_samples_of_the_ensemble_have_its_mean() -> None:
    model = ensemble(3, 1, 2)
    num = 20_000
    images = every_image(3, 1, 2)
    mean = model.log_probability(images).exp() @ (images > 0).flatten(1).double()
    found = (model.sample(num) > 0).flatten(1).double().mean(0)
    # Five standard deviations of a frequency.
    assert ((found - mean).abs() < 5.0 * (mean * (1.0 - mean) / num).sqrt()).all()


@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic-mixture"])
def test_values_one_by_one_give_what_the_whole_network_gives(likelihood: str) -> None:
    config = MADEConfig(likelihood=likelihood, hidden=(20, 15), num_components=2, num_masks=2, random_orders=True)
    model = ensemble(3, 2, 2, config)
    values = torch.randn(4, 12, dtype=DOUBLE)
    with torch.no_grad():
        for mask in range(2):
            whole = model.network(values, mask)
            network = IncrementalMaskedNetwork(model.network, mask, 4)
            for number in model.network.degrees(mask)[0].argsort().tolist():
                torch.testing.assert_close(network.outputs(number, 1), whole[:, number : number + 1])
                network.write(number, torch.full((4, 1), 9.0, dtype=DOUBLE))  # replaced by the next line
                network.write(number, values[:, number : number + 1])


def test_the_logistic_mixture_draws_what_it_scores() -> None:
    distribution = LogisticMixture(3, 2)
    outputs = torch.randn(18, dtype=DOUBLE)
    outputs[6:12] = torch.tensor([0.3, -0.2, -0.9, 0.7, -2.0, -3.0])  # green: the only colour that is drawn
    num = 50_000
    drawn = distribution.draw(outputs.expand(num, -1), torch.zeros(num, 3, dtype=torch.uint8), 1, 1.0)
    images = torch.zeros(256, 3, 1, 1, dtype=torch.uint8)
    images[:, 1, 0, 0] = torch.arange(256)
    score = distribution.log_probability(outputs[None, :, None, None].expand(256, -1, -1, -1), images)[:, 0, 0]
    probability = (score - torch.logsumexp(score, 0)).exp()  # red and blue stay the same
    counts = torch.bincount(drawn.long(), minlength=256).double()
    often = num * probability > 5.0
    chi_square = ((counts - num * probability).square() / (num * probability))[often].sum()
    degrees = int(often.sum()) - 1
    assert degrees > 50
    assert chi_square < degrees + 5.0 * math.sqrt(2.0 * degrees)


def test_bfloat16_leaves_means_finer_than_a_grey_level() -> None:
    """Means of about 1 that bfloat16 would round to half a grey level, and sums of them by more."""
    torch.manual_seed(1)
    config = MADEConfig(likelihood="logistic-mixture", hidden=(200,), num_components=2)
    model = config.build(DataSpec(channels=1, height=8, width=8))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    images = torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8)
    expected = model.outputs(images, None)[:, 2:4]
    with torch.autocast("cpu", torch.bfloat16):
        found = model.outputs(images, None)[:, 2:4]
    assert 0.0 < 127.5 * float((found - expected).abs().max().detach()) < 0.5


def test_only_one_mask_in_raster_order_completes() -> None:
    data = DataSpec(channels=1, height=2, width=2)
    single = MADEConfig(hidden=(8,)).build(data)
    assert isinstance(single, MADE)
    assert isinstance(single, Completes)
    for config in (MADEConfig(hidden=(8,), num_masks=2), MADEConfig(hidden=(8,), random_orders=True)):
        several = config.build(data)
        assert isinstance(several, MADEEnsemble)
        assert not isinstance(several, Completes)
        with pytest.raises(ValueError, match="unconditional"):
            several.sample(1, condition=torch.zeros(1))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.hidden is \(\)"):
        MADEConfig(hidden=())
    with pytest.raises(ValueError, match=r"model\.num_masks is 0"):
        MADEConfig(num_masks=0)


def test_the_masks_travel_with_the_weights() -> None:
    """As another torch might draw others from the same seed: a model filled from a state dict has its masks too."""
    model = ensemble(1, 2, 3)
    images = every_image(1, 2, 3)
    config = MADEConfig(hidden=(16, 12), num_masks=3, random_orders=True, mask_seed=5)
    other = ensemble(1, 2, 3, config)
    assert not torch.allclose(other.log_probability(images), model.log_probability(images))
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(other.log_probability(images), model.log_probability(images))
