"""A prior over a VQ-VAE's codes: normalisation and the bound by enumeration of all code maps."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from gen_dist.capabilities import Decodes, Encodes, Samples, Scores
from gen_dist.learner import Context
from gen_dist.models.composed.code_prior import CodePrior, CodePriorConfig
from gen_dist.models.vae.vqvae import VQVAEConfig
from gen_dist.types import DataSpec, ImageBatch, Moment

SQUARE = DataSpec(channels=1, height=4, width=4, class_names=("a", "b", "c"))
FOUNDATION = VQVAEConfig(hidden=6, num_stages=1, num_residual_blocks=1, residual_hidden=4, num_codes=3, code_dim=2)
EVERY = torch.tensor(list(itertools.product(range(3), repeat=4))).reshape(-1, 2, 2)  # all maps of 2x2 codes out of 3


def prior(*, class_conditional: bool = False) -> CodePrior:
    config = CodePriorConfig(
        foundation=FOUNDATION,
        class_conditional=class_conditional,
        embedding_dim=4,
        features=5,
        num_blocks=1,
        output_features=6,
    )
    model = config.build(SQUARE).double().eval()
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.mul_(2.0)  # far from uniform
    return model


def labels_of(model: CodePrior, num: int) -> Tensor | None:
    return torch.full((num,), 1) if model.num_classes else None


@pytest.mark.parametrize("class_conditional", [False, True])
def test_the_probabilities_of_all_code_maps_sum_to_one(class_conditional: bool) -> None:
    model = prior(class_conditional=class_conditional)
    with torch.no_grad():
        scores = model.log_prior(EVERY, labels_of(model, len(EVERY)))
    assert float(scores.exp().sum()) == pytest.approx(1.0, abs=1e-12)
    assert float(scores.std()) > 0.1


@pytest.mark.parametrize("class_conditional", [False, True])
def test_drawn_codes_follow_the_probabilities(class_conditional: bool) -> None:
    model = prior(class_conditional=class_conditional)
    num = 20_000
    codes = model.draw_codes(num, condition=labels_of(model, num))
    index = (codes.flatten(1) * torch.tensor([27, 9, 3, 1])).sum(1)
    counts = torch.bincount(index, minlength=81).double()
    with torch.no_grad():
        expected = num * model.log_prior(EVERY, labels_of(model, 81)).exp()
    chi_square = float(((counts - expected).square() / expected).sum())
    assert abs(chi_square - 80.0) < 4.5 * math.sqrt(160.0)  # 80 degrees of freedom: mean 80, variance 160


@pytest.mark.parametrize("class_conditional", [False, True])
def test_the_score_is_a_lower_bound_of_the_exact_log_probability(class_conditional: bool) -> None:
    """Log p(x) by enumeration; the bound holds the one term of the image's own codes."""
    model = prior(class_conditional=class_conditional)
    images = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    with torch.no_grad():
        if class_conditional:
            each = [model.log_prior(EVERY, torch.full((81,), label)).exp() for label in range(3)]
            log_prior = torch.stack(each).mean(0).log()
        else:
            log_prior = model.log_prior(EVERY, None)
        terms = torch.stack([model.foundation.log_likelihood(x.expand(81, 1, 4, 4), EVERY) for x in images]) + log_prior
    scores = model.log_probability(images)
    assert (scores < torch.logsumexp(terms, 1)).all()
    own = (model.codes(images).flatten(1) * torch.tensor([27, 9, 3, 1])).sum(1)
    torch.testing.assert_close(scores, terms[torch.arange(5), own])


def test_the_signal_is_in_bits_per_code_and_leaves_the_foundation_alone() -> None:
    model = prior()
    images = torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8)
    (phase,) = model.phases
    signal = phase.signal(ImageBatch(images=images), Context(Moment(), 0, 0, {}))
    with torch.no_grad():
        nats = -model.log_prior(model.codes(images), None).mean()
    torch.testing.assert_close(signal.metrics["loss"], nats / (4 * math.log(2.0)))
    active = {id(parameter) for parameter in model.active("model", Moment())}
    assert not active & {id(parameter) for parameter in model.foundation.parameters()}
    assert len(active) == len(list(model.network.parameters())) + 1


def test_images_come_from_codes_and_vectors_from_images() -> None:
    model = prior(class_conditional=True)
    assert all(isinstance(model, capability) for capability in (Samples, Scores, Encodes, Decodes))
    torch.manual_seed(4)
    codes = model.draw_codes(8)
    torch.manual_seed(4)
    assert torch.equal(model.sample(8), model.foundation.decode_codes(codes))
    torch.manual_seed(4)
    latents = model.draw_latents(8)
    assert torch.equal(model.decode(latents), model.foundation.decode_codes(codes))
    assert torch.equal(
        model.sample(4, temperature=1e-3, condition=torch.ones(4, dtype=torch.int64)).unique(dim=0),
        model.sample(1, temperature=1e-3, condition=torch.ones(1, dtype=torch.int64)),
    )


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="unconditional"):
        prior().sample(2, condition=torch.zeros(2))
    with pytest.raises(ValueError, match="class_conditional is True"):
        CodePriorConfig(class_conditional=True).build(DataSpec(channels=1, height=8, width=8))
    with pytest.raises(ValueError, match=r"model\.kernel_size is 2"):
        CodePriorConfig(kernel_size=2)
    unlabelled = ImageBatch(images=torch.zeros(1, 1, 4, 4, dtype=torch.uint8))
    (phase,) = prior(class_conditional=True).phases
    with pytest.raises(ValueError, match="needs labels"):
        phase.signal(unlabelled, Context(Moment(), 0, 0, {}))


def test_what_is_no_label_is_refused() -> None:
    model = prior(class_conditional=True)
    for condition in (torch.tensor([0.7, 1.0]), torch.tensor([0, model.num_classes])):
        with pytest.raises(ValueError, match="give labels, integers from 0 to"):
            model.sample(2, condition=condition)
    with pytest.raises(ValueError, match="unconditional"):
        prior().sample(2, condition=torch.tensor([0, 1]))
