"""DBM: bound, gradient, log Z and Gibbs chains against enumeration of a model with 4 + 3 + 3 units."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from gen_dist.capabilities import EstimatesPartition
from gen_dist.evaluation.likelihood import likelihood
from gen_dist.learner import Context, Gradient
from gen_dist.models.boltzmann.dbm import DBM, DBMConfig
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64
DATA = DataSpec(channels=1, height=2, width=2)


def states(num: int) -> Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=num)), dtype=DOUBLE)


VISIBLE, HIDDEN = states(4), states(3)
IMAGES = (255 * VISIBLE).to(torch.uint8).reshape(-1, 1, 2, 2)


def strong_dbm(**settings: object) -> DBM:
    """Far from independent, with offsets that are not the model's means."""
    torch.manual_seed(3)
    machine = DBMConfig(first_hidden=3, second_hidden=3, **settings).build(DATA).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in machine.parameters():
            parameter.normal_(std=1.2)
        machine.base_bias.normal_(std=0.5)
        if machine.config.centred:
            machine.visible_offset.uniform_(0.2, 0.8)
    return machine


def every_state(machine: DBM) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All 1024 states of the three layers, and -E of each, by loops over pairs of units."""
    triples = list(itertools.product(VISIBLE, HIDDEN, HIDDEN))
    visible, first, second = (torch.stack(layer) for layer in zip(*triples, strict=True))
    offset = machine.hidden_offset
    minus_energy = torch.zeros(len(triples), dtype=DOUBLE)
    for j in range(3):
        for i in range(4):
            pair = (visible[:, i] - machine.visible_offset[i]) * (first[:, j] - offset)
            minus_energy = minus_energy + pair * machine.first_weight[i, j]
        for k in range(3):
            pair = (first[:, j] - offset) * (second[:, k] - offset)
            minus_energy = minus_energy + pair * machine.second_weight[j, k]
        minus_energy = minus_energy + first[:, j] * machine.first_bias[j] + second[:, j] * machine.second_bias[j]
    return visible, first, second, minus_energy + visible @ machine.visible_bias


def log_partition(machine: DBM) -> Tensor:
    return torch.logsumexp(every_state(machine)[3], 0)


def joint(machine: DBM) -> Tensor:
    """Probability of (v, h1, h2)."""
    with torch.no_grad():
        return every_state(machine)[3].softmax(0).reshape(16, 8, 8)


def bernoulli(values: Tensor, on: Tensor) -> Tensor:
    """Probability of each row of `values` given each row of probabilities `on`: (conditions, values)."""
    return torch.exp(on.log() @ values.T + (1.0 - on).log() @ (1.0 - values).T)


@pytest.mark.parametrize("centred", [True, False])
def test_energies_are_the_sum_over_pairs(centred: bool) -> None:
    machine = strong_dbm(centred=centred)
    visible, first, second, expected = every_state(machine)
    torch.testing.assert_close(machine.minus_energy(visible, first, second), expected)
    summed = torch.logsumexp(expected.reshape(16, 8, 8), 1)
    pairs = list(itertools.product(VISIBLE, HIDDEN))
    found = machine.free_energy(torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs]))
    torch.testing.assert_close(-found.reshape(16, 8), summed)
    assert joint(machine).sum((1, 2)).max() > 2.0 / 16.0  # far from uniform


@pytest.mark.parametrize("centred", [True, False])
def test_a_gibbs_step_leaves_the_exact_distribution_unchanged(centred: bool) -> None:
    """The transition matrix over (v, h2), by way of h1, keeps their joint distribution to rounding."""
    machine = strong_dbm(centred=centred)
    pairs = list(itertools.product(VISIBLE, HIDDEN))
    visible, second = torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])
    with torch.no_grad():
        up = bernoulli(HIDDEN, torch.sigmoid(machine._first_input(visible, second)))
        image = bernoulli(VISIBLE, torch.sigmoid(machine._visible_input(HIDDEN)))
        top = bernoulli(HIDDEN, torch.sigmoid(machine._second_input(HIDDEN)))
    transition = up @ (image[:, :, None] * top[:, None]).reshape(8, -1)
    distribution = joint(machine).sum(1).flatten()
    torch.testing.assert_close(transition.sum(1), torch.ones(128, dtype=DOUBLE))
    torch.testing.assert_close(distribution @ transition, distribution)


def test_drawn_gibbs_steps_keep_the_exact_distribution() -> None:
    machine = strong_dbm()
    num = 50_000
    expected = joint(machine).sum(1).flatten()  # of (v, h2)
    chosen = torch.multinomial(expected, num, replacement=True)
    with torch.no_grad():
        visible, second = machine.gibbs_step(VISIBLE[chosen // 8], HIDDEN[chosen % 8])
    codes = 8 * (visible.long() @ torch.tensor([8, 4, 2, 1])) + second.long() @ torch.tensor([4, 2, 1])
    assert (codes != chosen).double().mean() > 0.1
    counts = torch.bincount(codes, minlength=128).double()
    often = num * expected > 5.0
    chi_square = ((counts - num * expected).square() / (num * expected))[often].sum()
    assert chi_square < int(often.sum()) + 5.0 * math.sqrt(2.0 * int(often.sum()))  # five standard deviations


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_mean_field_raises_a_bound_that_never_passes_the_exact_log_probability(damping: float) -> None:
    exact = torch.logsumexp(every_state(strong_dbm())[3].reshape(16, -1), 1).detach()
    bounds = []
    for updates in (1, 2, 5, 100):
        machine = strong_dbm(mean_field_updates=updates, damping=damping)
        with torch.no_grad():
            bounds.append(machine.log_unnormalised(VISIBLE))
    for lower, higher in itertools.pairwise([*bounds, exact]):
        assert (lower <= higher + 1e-12).all()
    assert (bounds[-1] < exact - 1e-3).all()  # a factorised posterior is not this one
    assert (bounds[0] < bounds[-1] - 1e-3).any()


def test_without_a_second_layer_s_weights_the_bound_is_exact() -> None:
    machine = strong_dbm(mean_field_updates=3)
    with torch.no_grad():
        machine.second_weight.zero_()
    exact = torch.logsumexp(every_state(machine)[3].reshape(16, -1), 1)
    torch.testing.assert_close(machine.log_unnormalised(VISIBLE), exact)


@pytest.mark.parametrize("centred", [True, False])
def test_the_expected_gradient_is_the_exact_slope_of_the_bound(centred: bool) -> None:
    """Means on the data, and the exact distribution instead of chains: autograd through mean field and log Z agrees.

    At its fixed point the bound is stationary in the means, so only the direct dependence counts.
    """
    machine = strong_dbm(centred=centred, mean_field_updates=300)
    data = VISIBLE[[1, 6, 6, 11]]
    bound = machine.log_unnormalised(data).mean() - log_partition(machine)
    parameters = list(machine.parameters())
    slopes = torch.autograd.grad(bound, parameters)
    with torch.no_grad():
        positive = machine.energy_gradient(data, *machine.mean_field(data))
        pairs = list(itertools.product(VISIBLE, HIDDEN))
        weights = joint(machine).sum(1).flatten()
        expected = {parameter: torch.zeros_like(parameter) for parameter in parameters}
        for weight, (visible, second) in zip(weights, pairs, strict=True):
            first = torch.sigmoid(machine._first_input(visible[None], second[None]))
            for parameter, value in machine.energy_gradient(visible[None], first, second[None]).items():
                expected[parameter] += weight * value
    for parameter, slope in zip(parameters, slopes, strict=True):
        torch.testing.assert_close(positive[parameter] - expected[parameter], -slope, atol=1e-8, rtol=1e-6)
        assert slope.abs().max() > 1e-3


def test_the_signal_is_the_slope_of_its_loss_at_fixed_means_and_chains() -> None:
    machine = strong_dbm(gibbs_steps=2)
    batch = ImageBatch(images=IMAGES[[1, 6, 11]])
    memory: dict[str, Tensor] = {}
    (phase,) = machine.phases
    phase.signal(batch, Context(Moment(), 0, 0, memory))
    before = {name: tensor.clone() for name, tensor in memory.items()}
    torch.manual_seed(8)
    signal = phase.signal(batch, Context(Moment(), 0, 0, memory))
    assert isinstance(signal, Gradient)
    torch.manual_seed(8)
    with torch.no_grad():  # the chains went on from where they were
        visible, second = machine.gibbs_step(*machine.gibbs_step(before["visible"], before["second"]))
        means = machine.mean_field(VISIBLE[[1, 6, 11]])
    assert torch.equal(memory["visible"], visible)
    assert torch.equal(memory["second"], second)
    loss = (
        machine.variational_free_energy(VISIBLE[[1, 6, 11]], *means).mean()
        - machine.free_energy(visible, second).mean()
    )
    torch.testing.assert_close(signal.metrics["loss"], loss.detach())
    parameters = machine.active(phase.player, Moment())
    for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(signal.values[parameter], slope)


@pytest.mark.parametrize("centred", [True, False])
def test_annealed_importance_sampling_finds_log_z_within_its_error(centred: bool) -> None:
    machine = strong_dbm(centred=centred, partition_steps=300, partition_chains=1000)
    estimate, error = machine.estimate_log_partition()
    assert 0.0 < error < 0.05
    assert abs(float(estimate - log_partition(machine).detach())) < 4.0 * float(error)


def test_the_error_of_log_z_is_reported_with_the_score() -> None:
    machine = strong_dbm(partition_steps=300, partition_chains=1000)
    assert isinstance(machine, EstimatesPartition)
    fresh = likelihood(machine, IMAGES, seed=0)
    assert fresh is not None
    assert "log_partition_error" not in fresh.metrics
    machine.finalise([ImageBatch(images=IMAGES)])
    score = likelihood(machine, IMAGES, seed=0)
    assert score is not None
    assert score.kind == "estimate"
    assert score.metrics["log_partition_error"] == float(machine.log_partition_error)
    assert 0.0 < score.metrics["log_partition_error"] < 0.05
    exact = joint(machine).sum((1, 2)).log()
    assert (machine.log_probability(IMAGES) <= exact + 4.0 * 0.05).all()


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_samples_have_the_exact_distribution(temperature: float) -> None:
    machine = strong_dbm(sample_steps=200, pixel_noise=True)
    num = 20_000
    drawn = (machine.sample(num, temperature=temperature) > 0).flatten(1).long() @ torch.tensor([8, 4, 2, 1])
    with torch.no_grad():
        for parameter in machine.parameters():  # energies over the temperature
            parameter.div_(temperature)
    expected = num * joint(machine).sum((1, 2))
    counts = torch.bincount(drawn, minlength=16).double()
    assert expected.min() > 5.0
    chi_square = ((counts - expected).square() / expected).sum()
    assert chi_square < 15 + 5.0 * math.sqrt(30.0)  # 15 degrees of freedom: five standard deviations


def test_prepare_takes_the_data_s_mean_off() -> None:
    images = torch.zeros(10, 1, 2, 2, dtype=torch.uint8)
    images[:5, 0, 0, 0] = 200
    for centred in (True, False):
        machine = DBMConfig(first_hidden=3, second_hidden=3, centred=centred).build(DATA).double()
        machine.prepare(ImageBatch(images=images))
        expected = torch.tensor([6.0, 1, 1, 1], dtype=DOUBLE) / 12.0  # one more 0 and one more 1 than there are
        torch.testing.assert_close(torch.sigmoid(machine.visible_bias.detach()), expected)
        torch.testing.assert_close(machine.visible_offset, expected if centred else torch.zeros(4, dtype=DOUBLE))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.second_hidden is 0"):
        DBMConfig(second_hidden=0)
    with pytest.raises(ValueError, match=r"model\.damping is 1\.0"):
        DBMConfig(damping=1.0)
    with pytest.raises(ValueError, match=r"model\.partition_chains is 1"):
        DBMConfig(partition_chains=1)
