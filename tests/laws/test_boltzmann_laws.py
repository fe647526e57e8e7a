"""RBM: gradients, log Z and Gibbs chains against enumeration of a model with 64 visible states."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from gen_dist.learner import Context, Gradient
from gen_dist.models.boltzmann.machine import log_odds
from gen_dist.models.boltzmann.rbm import RBM, RBMConfig
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64
DATA = DataSpec(channels=1, height=2, width=3)
STATES = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=DOUBLE)
IMAGES = (255 * STATES).to(torch.uint8).reshape(-1, 1, 2, 3)


def strong_rbm(config: RBMConfig | None = None) -> RBM:
    """A machine of 6 visible and 5 hidden units, far from independent."""
    torch.manual_seed(4)
    machine = (config or RBMConfig(num_hidden=5)).build(DATA).double()
    with torch.no_grad():
        for parameter in machine.parameters():
            parameter.normal_(std=1.5)
    return machine


def log_partition(machine: RBM) -> Tensor:
    """By enumeration over visible AND hidden states, from the energy itself."""
    num_hidden = machine.config.num_hidden
    hidden = torch.tensor(list(itertools.product((0.0, 1.0), repeat=num_hidden)), dtype=DOUBLE)
    with torch.no_grad():
        minus_energy = (
            STATES @ machine.weight @ hidden.T
            + (STATES @ machine.visible_bias)[:, None]
            + (hidden @ machine.hidden_bias)[None]
        )
    return torch.logsumexp(minus_energy.flatten(), 0)


def exact_distribution(machine: RBM) -> Tensor:
    with torch.no_grad():
        return torch.exp(-machine.free_energy(STATES) - log_partition(machine))


def chi_square_excess(visible: Tensor, expected: Tensor) -> float:
    """How many standard deviations the chi-square of drawn states lies above its mean."""
    codes = visible.long() @ (2 ** torch.arange(5, -1, -1))
    counts = torch.bincount(codes, minlength=64).double()
    often = expected > 5.0
    observed = torch.cat([counts[often], counts[~often].sum()[None]])
    wanted = torch.cat([expected[often], expected[~often].sum()[None] + 1e-9])
    degrees = int(often.sum())
    return float(((observed - wanted).square() / wanted).sum() - degrees) / math.sqrt(2.0 * degrees)


def test_free_energies_sum_to_the_partition_function() -> None:
    machine = strong_rbm()
    distribution = exact_distribution(machine)
    torch.testing.assert_close(distribution.sum(), torch.ones((), dtype=DOUBLE))
    assert distribution.max() > 10.0 / 64.0  # far from uniform


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("binarisation", ["threshold", "probability"])
def test_the_gradient_is_autograd_s_of_the_free_energy_difference(persistent: bool, binarisation: str) -> None:
    config = RBMConfig(num_hidden=5, gibbs_steps=2, persistent=persistent, binarisation=binarisation)
    machine = strong_rbm(config)
    batch = ImageBatch(images=IMAGES[torch.randint(64, (10,))])  # black or white: both ways to binarise agree
    memory: dict[str, Tensor] = {"chain": STATES[:10].clone()} if persistent else {}
    (phase,) = machine.phases
    torch.manual_seed(9)
    signal = phase.signal(batch, Context(Moment(), 0, 0, memory))
    assert isinstance(signal, Gradient)
    parameters = machine.active(phase.player, Moment())
    assert {id(p) for p in parameters} == {id(p) for p in machine.parameters()}
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal.deposit(parameters, 0.5)

    data = (batch.images.flatten(1) > 0).double()
    if persistent:
        chain = memory["chain"]
        assert chain.shape == (10, 6)
    else:
        assert memory == {}
        torch.manual_seed(9)
        if binarisation == "probability":
            data.bernoulli()
        with torch.no_grad():
            chain = machine.gibbs_step(machine.gibbs_step(data))
    difference = machine.free_energy(data).mean() - machine.free_energy(chain).mean()
    torch.testing.assert_close(signal.metrics["loss"], difference.detach())
    for parameter, slope in zip(parameters, torch.autograd.grad(difference, parameters), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, 0.5 * slope)
        assert slope.abs().sum() > 0.0


def test_autocast_does_not_coarsen_the_gradient() -> None:
    machine = strong_rbm().float()
    batch = ImageBatch(images=IMAGES)

    def gradient(autocast: bool) -> list[Tensor]:
        torch.manual_seed(6)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            signal = machine.contrastive_divergence(batch, Context(Moment(), 0, 0, {}))
        assert isinstance(signal, Gradient)
        return [signal.values[parameter] for parameter in machine.parameters()]

    for coarse, fine in zip(gradient(True), gradient(False), strict=True):
        assert torch.equal(coarse, fine)


def test_chains_start_at_the_data_and_go_on() -> None:
    machine = strong_rbm(RBMConfig(num_hidden=5))
    with torch.no_grad():
        machine.weight.zero_()
        machine.visible_bias.fill_(-50.0)  # a step from anywhere ends in black
    white = ImageBatch(images=torch.full((3, 1, 2, 3), 255, dtype=torch.uint8))
    memory: dict[str, Tensor] = {}
    first = machine.contrastive_divergence(white, Context(Moment(), 0, 0, memory))
    assert first.metrics["loss"] > 0.0
    assert torch.equal(memory["chain"], torch.zeros(3, 6, dtype=DOUBLE))
    with torch.no_grad():
        machine.visible_bias.fill_(0.0)
        machine.weight.fill_(50.0)
        machine.hidden_bias.fill_(-25.0)  # all units copy whether any other is on
    machine.contrastive_divergence(white, Context(Moment(), 0, 0, memory))
    kept = memory["chain"]
    assert kept.dtype == DOUBLE
    assert ((kept == 0.0) | (kept == 1.0)).all()
    # From white data the chain would be white; from the remembered black one it is a fair coin per unit.
    assert not (kept == 1.0).all()


def test_gibbs_leaves_the_exact_distribution_unchanged() -> None:
    """The transition matrix over visible states, summed over hidden states, keeps the distribution to rounding."""
    machine = strong_rbm()
    hidden = torch.tensor(list(itertools.product((0.0, 1.0), repeat=5)), dtype=DOUBLE)
    with torch.no_grad():
        up, down = machine.hidden_probability(STATES), machine.visible_probability(hidden)

    def probability_of(states: Tensor, on: Tensor) -> Tensor:
        return torch.exp(states @ on.log().T + (1.0 - states) @ (1.0 - on).log().T)  # (states, conditions)

    transition = probability_of(hidden, up).T @ probability_of(STATES, down).T
    distribution = exact_distribution(machine)
    torch.testing.assert_close(transition.sum(1), torch.ones(64, dtype=DOUBLE))
    torch.testing.assert_close(distribution @ transition, distribution)


def test_drawn_gibbs_steps_keep_the_exact_distribution() -> None:
    machine = strong_rbm()
    num = 50_000
    distribution = exact_distribution(machine)
    start = STATES[torch.multinomial(distribution, num, replacement=True)]
    with torch.no_grad():
        moved = machine.gibbs_step(start)
    assert (moved != start).any(1).double().mean() > 0.1
    assert chi_square_excess(moved, num * distribution) < 5.0


@pytest.mark.parametrize("with_base", [True, False])
def test_annealed_importance_sampling_finds_log_z_within_its_error(with_base: bool) -> None:
    config = RBMConfig(num_hidden=5, partition_steps=300, partition_chains=1000)
    machine = strong_rbm(config)
    if with_base:
        with torch.no_grad():
            machine.base_bias.normal_(std=0.5)
    estimate, error = machine.estimate_log_partition()
    assert 0.0 < error < 0.05
    assert abs(float(estimate - log_partition(machine))) < 4.0 * float(error)


def test_the_error_of_log_z_is_what_repetition_shows() -> None:
    machine = strong_rbm(RBMConfig(num_hidden=5, partition_steps=20, partition_chains=100))
    estimates, errors = zip(*(machine.estimate_log_partition() for _ in range(100)), strict=True)
    spread = torch.stack(estimates).std()
    # A standard deviation from 100 repetitions is good to 7 %; both are of heavy-tailed weights.
    assert 0.7 < float(spread / torch.stack(errors).mean()) < 1.4


def test_scores_are_normalised_once_finalised() -> None:
    machine = strong_rbm(RBMConfig(num_hidden=5, partition_steps=300, partition_chains=1000))
    before = machine.log_probability(IMAGES)  # estimates log Z itself
    assert machine.log_partition_error < 0.0
    machine.finalise([ImageBatch(images=IMAGES)])
    assert 0.0 < machine.log_partition_error < 0.05
    after = machine.log_probability(IMAGES)
    exact = exact_distribution(machine).log()
    for found in (before, after):
        difference = found - exact
        assert (difference - difference[0]).abs().max() < 1e-9  # they share one log Z,
        assert difference[0].abs() < 4.0 * 0.05  # which is estimated
    assert torch.equal(machine.log_probability(IMAGES), after)  # and drawn once only
    assert {"log_partition", "log_partition_deviation", "base_bias"} <= set(machine.state_dict())


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_samples_have_the_exact_distribution(temperature: float) -> None:
    config = RBMConfig(num_hidden=5, sample_steps=200, pixel_noise=True)
    machine = strong_rbm(config)
    num = 20_000
    drawn = (machine.sample(num, temperature=temperature) > 0).flatten(1).double()
    with torch.no_grad():
        for parameter in machine.parameters():  # energies over the temperature
            parameter.div_(temperature)
    assert chi_square_excess(drawn, num * exact_distribution(machine)) < 5.0


def test_prepare_starts_at_the_frequencies_of_the_pixels() -> None:
    machine = RBMConfig(num_hidden=5).build(DATA).double()
    with torch.no_grad():
        machine.weight.zero_()
    images = torch.zeros(10, 1, 2, 3, dtype=torch.uint8)
    images[:5, 0, 0, 0] = 200
    machine.prepare(ImageBatch(images=images))
    with torch.no_grad():
        probability = torch.sigmoid(machine.visible_bias)
    # One more 0 and one more 1 than there are: 6 of 12, and 1 of 12.
    torch.testing.assert_close(probability, torch.tensor([6.0, 1, 1, 1, 1, 1], dtype=DOUBLE) / 12.0)
    assert log_odds(torch.ones(4, 2)).isfinite().all()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.num_hidden is 0"):
        RBMConfig(num_hidden=0)
    with pytest.raises(ValueError, match=r"model\.partition_chains is 1"):
        RBMConfig(partition_chains=1)
