"""GSN: corruption, transition and stationary distribution against enumeration of four pixels."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gen_dist.learner import Context, Loss
from gen_dist.models.markov.gsn import GSN, GSNConfig, State
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64
DATA = DataSpec(channels=1, height=2, width=2)
STATES = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=DOUBLE)
IMAGES = (255 * STATES).to(torch.uint8).reshape(-1, 1, 2, 2)
# Nearly always all black or all white: far from independent pixels.
TARGET = torch.tensor([0.32, *[0.04 / 14.0] * 14, 0.64], dtype=DOUBLE)


def gsn(**settings: object) -> GSN:
    torch.manual_seed(2)
    config = GSNConfig(**{"first_hidden": 6, "second_hidden": 5, **settings})  # type: ignore[arg-type]
    return config.build(DATA).double()


def memoryless() -> GSN:
    """Without noise in the hidden layers and with a silent second one, the next image depends on this one alone."""
    model = gsn(first_noise=0.0, second_noise=0.0, salt_and_pepper=0.3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=1.0)
        model.second_weight.zero_()
        model.second_bias.zero_()
    return model


def corruption(model: GSN) -> Tensor:
    """Probability of each corrupted image (columns) given each image (rows)."""
    differing = (STATES[:, None] != STATES[None]).sum(2).double()
    flip = model.config.salt_and_pepper / 2.0
    return flip**differing * (1.0 - flip) ** (4 - differing)


def transition(model: GSN) -> Tensor:
    """Probability of each next image (columns) given each image (rows), of a memoryless chain."""
    with torch.no_grad():
        on = torch.sigmoid(model.reconstruct(model.update_first(STATES, torch.zeros(16, 5, dtype=DOUBLE))))
    drawn = torch.exp(on.log() @ STATES.T + (1.0 - on).log() @ (1.0 - STATES).T)
    return corruption(model) @ drawn


def stationary(matrix: Tensor) -> Tensor:
    """The left eigenvector of eigenvalue 1."""
    values, vectors = torch.linalg.eig(matrix.T)
    vector = vectors[:, (values - 1.0).abs().argmin()].real
    return vector / vector.sum()


def counts(visible: Tensor) -> Tensor:
    return torch.bincount(visible.long() @ torch.tensor([8, 4, 2, 1]), minlength=16).double()


def assert_drawn_from(distribution: Tensor, visible: Tensor) -> None:
    expected = len(visible) * distribution
    assert expected.min() > 5.0
    chi_square = ((counts(visible) - expected).square() / expected).sum()
    assert chi_square < 15 + 5.0 * math.sqrt(30.0)  # 15 degrees of freedom: five standard deviations


def test_corruption_draws_a_share_of_the_pixels_anew() -> None:
    model = gsn(salt_and_pepper=0.4)
    matrix = corruption(model)
    torch.testing.assert_close(matrix.sum(1), torch.ones(16, dtype=DOUBLE))
    for number in (0, 6, 11):
        assert_drawn_from(matrix[number], model.corrupt(STATES[number].expand(20_000, -1)))


def test_a_step_has_the_probabilities_of_the_transition_matrix() -> None:
    model = memoryless()
    matrix = transition(model)
    for number in (0, 9):
        start = State(STATES[number].expand(20_000, -1), torch.zeros(20_000, 5, dtype=DOUBLE), STATES[:1])
        with torch.no_grad():
            assert_drawn_from(matrix[number], model.step(start).visible)


def test_samples_have_the_stationary_distribution_of_the_transition() -> None:
    model = memoryless()
    matrix = transition(model)
    distribution = stationary(matrix)
    torch.testing.assert_close(distribution @ matrix, distribution)
    assert (distribution - 1.0 / 16.0).abs().max() > 0.03  # not simply uniform
    chains = GSN(
        GSNConfig(
            first_hidden=6,
            second_hidden=5,
            first_noise=0.0,
            second_noise=0.0,
            salt_and_pepper=0.3,
            sample_steps=40,
            pixel_noise=True,
        ),
        DATA,
    ).double()
    chains.load_state_dict(model.state_dict())
    assert_drawn_from(distribution, (chains.sample(20_000) > 0).flatten(1))


def test_perfect_denoising_leaves_the_data_s_distribution_unchanged() -> None:
    """Theorem 1 of the paper, with this corruption: C followed by the exact P(X given corrupted X)."""
    noise = corruption(gsn())
    posterior = (TARGET[:, None] * noise / (TARGET @ noise)).T  # (corrupted, image)
    torch.testing.assert_close(TARGET @ (noise @ posterior), TARGET)
    torch.testing.assert_close(stationary(noise @ posterior), TARGET)


def train(model: GSN, rounds: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    (phase,) = model.phases
    for number in range(rounds):
        batch = ImageBatch(images=IMAGES[torch.multinomial(TARGET, 256, replacement=True)])
        signal = phase.signal(batch, Context(Moment(round=number), 0, 0, {}))
        assert isinstance(signal, Loss)
        optimizer.zero_grad()
        signal.value.backward()
        optimizer.step()


def distance(first: Tensor, second: Tensor) -> float:
    """Total variation."""
    return 0.5 * float((first - second).abs().sum())


def test_training_brings_the_chain_s_distribution_to_the_data_s() -> None:
    """With noise enough in the hidden layers; a chain whose second layer latches drifts away from what it was shown."""
    noise = {"salt_and_pepper": 0.1, "first_noise": 1.0, "second_noise": 1.0}
    model = gsn(first_hidden=30, second_hidden=20, sample_steps=100, pixel_noise=True, **noise)
    model.prepare(ImageBatch(images=IMAGES[torch.multinomial(TARGET, 1000, replacement=True)]))

    def drawn() -> Tensor:
        return counts((model.sample(4_000) > 0).flatten(1)) / 4_000

    before = distance(drawn(), TARGET)
    train(model, 400)
    assert before > 0.6
    # Measured 0.09: an image's pixels are drawn independently given the hidden units, so it can't vanish.
    assert distance(drawn(), TARGET) < 0.15


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_walkback_is_the_chain_written_out(noise: float) -> None:
    """Each step's cross-entropy with its gradient; the second layer speaks from the second step on."""
    model = gsn(first_noise=noise, second_noise=noise, walkback_steps=3)
    data = STATES[[1, 6, 11]]
    torch.manual_seed(7)
    signal = model.walkback(ImageBatch(images=IMAGES[[1, 6, 11]]), Context(Moment(), 0, 0, {}))

    def noisy(inputs: Tensor) -> Tensor:
        if not noise:
            return inputs.tanh()
        activity = (inputs + noise * torch.randn_like(inputs)).tanh()
        return activity + noise * torch.randn_like(activity)

    torch.manual_seed(7)
    visible, second, losses = data, torch.zeros(3, 5, dtype=DOUBLE), []
    for _ in range(3):
        replaced = torch.full_like(visible, 0.4).bernoulli()
        salted = torch.full_like(visible, 0.5).bernoulli()
        corrupted = torch.where(replaced > 0, salted, visible)
        first = noisy(corrupted @ model.first_weight + second @ model.second_weight.T + model.first_bias)
        on = torch.sigmoid(first @ model.first_weight.T + model.visible_bias)
        visible = on.detach().bernoulli()
        second = noisy(first @ model.second_weight + model.second_bias)
        losses.append(F.binary_cross_entropy(on, data, reduction="none").sum(1).mean())
    parameters = list(model.parameters())
    assert isinstance(signal, Loss)
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(signal.value, expected)
    slopes = torch.autograd.grad(expected, parameters, retain_graph=True)
    for slope, found in zip(slopes, torch.autograd.grad(signal.value, parameters), strict=True):
        torch.testing.assert_close(found, slope)
        assert slope.abs().sum() > 0.0
    first_slopes = torch.autograd.grad(losses[0], [model.second_weight, model.second_bias], allow_unused=True)
    assert all(slope is None or not slope.any() for slope in first_slopes)


def test_the_score_is_below_the_log_probability_and_nears_it() -> None:
    """On average, by Jensen's inequality; with many states it is the stationary distribution."""
    model = memoryless()
    exact = stationary(transition(model)).log()

    def scored(chains: int, steps: int) -> Tensor:
        config = GSNConfig(
            first_hidden=6,
            second_hidden=5,
            first_noise=0.0,
            second_noise=0.0,
            salt_and_pepper=0.3,
            sample_steps=30,
            score_chains=chains,
            score_steps=steps,
        )
        scoring = GSN(config, DATA).double()
        scoring.load_state_dict(model.state_dict())
        return scoring.log_probability(IMAGES)

    many = scored(2000, 20)
    # 40,000 states, neighbours in a chain alike: a few per cent of a probability.
    torch.testing.assert_close(many, exact, atol=0.05, rtol=0.0)
    few = torch.stack([scored(2, 1) for _ in range(100)])
    error = few.std(0) / 10.0
    assert (few.mean(0) < exact + 4.0 * error).all()
    assert (few.mean(0) < exact - 0.05).any()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.walkback_steps is 1"):
        GSNConfig(walkback_steps=1)
    with pytest.raises(ValueError, match=r"model\.salt_and_pepper is 0\.0"):
        GSNConfig(salt_and_pepper=0.0)
    with pytest.raises(ValueError, match=r"model\.second_noise -1\.0"):
        GSNConfig(second_noise=-1.0)
