"""VQ-VAE: what the codebook does, checked by hand and by its closed form."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from gen_dist.learner import Context, Loss
from gen_dist.losses.likelihood import discretised_gaussian_log_probability
from gen_dist.models.vae.vqvae import VQVAE, VQVAEConfig, straight_through
from gen_dist.nn.codebook import Codebook, perplexity
from gen_dist.types import DataSpec, ImageBatch, Moment, to_signed

DOUBLE = torch.float64
SQUARE = DataSpec(channels=1, height=4, width=4)


def small(**changes: object) -> VQVAE:
    sizes = {
        "hidden": 6,
        "num_stages": 1,
        "num_residual_blocks": 1,
        "residual_hidden": 4,
        "num_codes": 5,
        "code_dim": 3,
    }
    return VQVAEConfig(**{**sizes, **changes}).build(SQUARE).double()


def images(num: int = 6) -> Tensor:
    return torch.randint(0, 256, (num, 1, 4, 4), dtype=torch.uint8)


def signal_of(model: VQVAE, batch: Tensor) -> Loss:
    (phase,) = model.phases
    signal = phase.signal(ImageBatch(images=batch), Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    return signal


def test_every_vector_gets_the_nearest_code() -> None:
    codebook = Codebook(7, 3, learned=False).double()
    latents = torch.randn(4, 3, 2, 5, dtype=DOUBLE)
    codes = codebook.nearest(latents)
    for b, i, j in itertools.product(range(4), range(2), range(5)):
        distances = [float((latents[b, :, i, j] - vector).square().sum()) for vector in codebook.vectors]
        assert int(codes[b, i, j]) == distances.index(min(distances))
        assert torch.equal(codebook.look_up(codes)[b, :, i, j], codebook.vectors[codes[b, i, j]])


def test_codes_are_their_own_nearest_and_stay_so_under_bfloat16() -> None:
    codebook = Codebook(200, 2, learned=False)
    latents = codebook.vectors.T[None, :, :, None]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(codebook.nearest(latents)[0, :, 0], torch.arange(200))


def test_the_gradient_skips_the_quantisation() -> None:
    """The encoder's outputs get the decoder's gradient at the codes, as if nothing lay between."""
    latents, quantised = torch.randn(2, 3, dtype=DOUBLE, requires_grad=True), torch.randn(2, 3, dtype=DOUBLE)
    passed = straight_through(latents, quantised)
    assert torch.equal(passed.detach(), latents.detach() + (quantised - latents.detach()))
    torch.testing.assert_close(passed.detach(), quantised)
    (slope,) = torch.autograd.grad(passed.pow(3).sum(), latents)
    torch.testing.assert_close(slope, 3.0 * quantised.square())


@pytest.mark.parametrize("codebook", ["gradient", "moving-average"])
def test_the_loss_is_equation_3_and_each_part_moves_whom_it_should(codebook: str) -> None:
    model = small(codebook=codebook, decoder="l2", commitment=0.4)
    batch = images()
    parameters = list(model.parameters())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal = signal_of(model, batch)
    signal.deposit(parameters, 1.0)
    size = batch.numel()
    latents = model.latents(batch)
    quantised = model.codebook.look_up(model.codes(batch)).detach()
    distance = (latents - quantised).square().sum() / size
    output = model.decoder(quantised)
    reconstruction = (output - to_signed(batch, DOUBLE)).square().mean()
    expected = reconstruction + 0.4 * distance + (distance if codebook == "gradient" else 0.0)
    torch.testing.assert_close(signal.value, expected)
    torch.testing.assert_close(signal.metrics["commitment"], distance.detach())
    # The decoder hears of the reconstruction only, the encoder of it (at the codes) and of its commitment.
    leaf = quantised.clone().requires_grad_()
    (at_the_codes,) = torch.autograd.grad((model.decoder(leaf) - to_signed(batch, DOUBLE)).square().mean(), leaf)
    surrogate = (latents * at_the_codes).sum() + 0.4 * distance
    for part, source in ((model.decoder, reconstruction), (model.encoder, surrogate)):
        weights = list(part.parameters())
        for weight, slope in zip(weights, torch.autograd.grad(source, weights, retain_graph=True), strict=True):
            torch.testing.assert_close(weight.grad, slope)
    if codebook == "gradient":  # 2 sum (e - z) over the vectors that chose e
        codes = model.codes(batch).flatten()
        flat = latents.detach().permute(0, 2, 3, 1).reshape(-1, 3)
        pulls = [2.0 * (model.codebook.vectors[k] - flat[codes == k]).sum(0) / size for k in range(5)]
        torch.testing.assert_close(model.codebook.vectors.grad, torch.stack(pulls).detach())


def test_moving_averages_follow_their_closed_form() -> None:
    """N_t = g^t N_0 + (1 - g) sum of g^(t - s) n_s, the same for m, and e = m / N (Eq. 6 to 8)."""
    decay = 0.8
    codebook = Codebook(4, 2, learned=False, decay=decay).double()
    start, sums, shares = codebook.vectors.clone(), codebook.sums.clone(), codebook.shares.clone()
    for _ in range(5):
        latents = torch.randn(3, 2, 2, 2, dtype=DOUBLE)
        codes = torch.randint(0, 3, (3, 2, 2))  # the last code is never used
        codebook.update(codebook.statistics(latents, codes))
        flat, chosen = latents.permute(0, 2, 3, 1).reshape(-1, 2), codes.flatten()
        for k in range(4):
            shares[k] = decay * shares[k] + (1.0 - decay) * (chosen == k).double().mean()
            sums[k] = decay * sums[k] + (1.0 - decay) * flat[chosen == k].sum(0) / len(flat)
    torch.testing.assert_close(codebook.shares, shares)
    torch.testing.assert_close(codebook.vectors, sums / shares[:, None])
    torch.testing.assert_close(codebook.shares.sum(), torch.ones((), dtype=DOUBLE))
    torch.testing.assert_close(codebook.vectors[3], start[3])


def test_a_code_whose_share_has_vanished_stays_finite_and_where_it_was() -> None:
    codebook = Codebook(3, 2, learned=False, decay=0.5)
    last = codebook.vectors[2].clone()
    statistics = codebook.statistics(torch.randn(1, 2, 4, 4), torch.randint(0, 2, (1, 4, 4)))
    for _ in range(400):  # 0.5^400 is 0 in float32
        codebook.update(statistics)
    torch.testing.assert_close(codebook.vectors[2], last, rtol=1e-3, atol=0.0)


def test_moving_averages_are_k_means() -> None:
    """Without memory (decay 0), a step puts every used code at the mean of its vectors, so the error never rises."""
    codebook = Codebook(6, 2, learned=False, decay=0.0).double()
    latents = torch.randn(1, 2, 20, 20, dtype=DOUBLE)
    codebook.initialise(latents)
    errors = []
    for _ in range(10):
        codes = codebook.nearest(latents)
        errors.append(float((codebook.look_up(codes) - latents).square().mean()))
        codebook.update(codebook.statistics(latents, codes))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]


def test_statistics_of_parts_average_to_those_of_the_whole() -> None:
    codebook = Codebook(4, 3, learned=False).double()
    latents = torch.randn(8, 3, 2, 2, dtype=DOUBLE)
    whole = codebook.statistics(latents, codebook.nearest(latents))
    parts = [codebook.statistics(part, codebook.nearest(part)) for part in latents.split(2)]
    for name, value in whole.items():
        torch.testing.assert_close(torch.stack([part[name] for part in parts]).mean(0), value)


def test_a_dead_code_takes_half_of_the_most_used_one() -> None:
    codebook = Codebook(4, 1, learned=False, decay=0.5, restart_below=0.5).double()
    with torch.no_grad():
        codebook.vectors.copy_(torch.tensor([[0.0], [10.0], [20.0], [99.0]]))
        codebook.shares.copy_(torch.tensor([0.5, 0.3, 0.19, 0.01]))
        codebook.sums.copy_(codebook.vectors * codebook.shares[:, None])
    statistics = {
        "shares": torch.tensor([0.5, 0.3, 0.2, 0.0], dtype=DOUBLE),
        "sums": torch.tensor([[0.5], [3.0], [4.0], [0.0]], dtype=DOUBLE),
    }
    codebook.update(statistics)
    torch.testing.assert_close(codebook.shares, torch.tensor([0.25, 0.3, 0.195, 0.25], dtype=DOUBLE))
    # Code 0 has a running mean of (0 + 0.25) / 0.5, and stood for a mean of 0.5 / 0.5 in this batch.
    torch.testing.assert_close(codebook.vectors[[0, 1, 3], 0], torch.tensor([0.5, 10.0, 1.0], dtype=DOUBLE))


def test_restarts_bring_a_starved_codebook_into_use() -> None:
    latents = torch.randn(4, 2, 16, 16, dtype=DOUBLE)

    def in_use(restart_below: float) -> float:
        codebook = Codebook(16, 2, learned=False, decay=0.9, restart_below=restart_below).double()
        with torch.no_grad():
            codebook.vectors[1:] += 50.0  # all but one lie far away
            codebook.sums.copy_(codebook.vectors * codebook.shares[:, None])
        for _ in range(200):
            codes = codebook.nearest(latents)
            codebook.update(codebook.statistics(latents, codes))
        return float(perplexity(codebook.statistics(latents, codebook.nearest(latents))["shares"]))

    assert in_use(0.0) == 1.0
    assert in_use(0.2) > 12.0


def test_perplexity_counts_the_codes_in_use() -> None:
    assert float(perplexity(torch.full((7,), 1 / 7, dtype=DOUBLE))) == pytest.approx(7.0)
    assert float(perplexity(torch.tensor([0.0, 1.0, 0.0]))) == 1.0


def test_the_codebook_starts_at_encoder_outputs() -> None:
    model = small(num_codes=8)
    batch = images(40)
    with torch.no_grad():
        model.prepare(ImageBatch(images=batch))
        outputs = model.latents(batch).permute(0, 2, 3, 1).reshape(-1, 3)
    assert ((model.codebook.vectors[:, None] - outputs).abs().sum(2).min(1).values == 0.0).all()
    assert len(model.codebook.vectors.unique(dim=0)) == 8
    torch.testing.assert_close(model.codebook.sums / model.codebook.shares[:, None], model.codebook.vectors)


def test_a_moving_codebook_is_no_parameter_and_a_learned_one_is() -> None:
    names = {codebook: dict(small(codebook=codebook).named_parameters()) for codebook in ("gradient", "moving-average")}
    assert "codebook.vectors" in names["gradient"]
    assert not [name for name in names["moving-average"] if name.startswith("codebook")]
    assert "codebook.vectors" in small().state_dict()


def test_encode_and_decode_agree_with_codes() -> None:
    model = small()
    batch = images()
    vectors = model.encode(batch)
    assert vectors.requires_grad
    torch.testing.assert_close(vectors, model.codebook.look_up(model.codes(batch)).flatten(1))
    assert torch.equal(model.decode(vectors.detach()), model.decode_codes(model.codes(batch)))


def test_eight_bit_probabilities_of_a_gaussian_sum_to_one_and_follow_its_density() -> None:
    values = to_signed(torch.arange(256, dtype=torch.uint8), DOUBLE)
    for mean, scale in ((0.1, 0.5), (-1.3, 0.02), (0.999, 3.0), (0.0, 1e-3)):
        log_scale = torch.full_like(values, math.log(scale))
        scores = discretised_gaussian_log_probability(torch.full_like(values, mean), log_scale, values)
        assert float(scores.exp().sum()) == pytest.approx(1.0, abs=1e-12)
        assert scores.isfinite().all()
    broad = discretised_gaussian_log_probability(torch.zeros_like(values), torch.zeros_like(values), values)[1:-1]
    density = torch.distributions.Normal(0.0, 1.0).log_prob(values[1:-1]) + math.log(2.0 / 255.0)
    torch.testing.assert_close(broad, density, atol=1e-5, rtol=0.0)  # a bin is 0.008 wide: curvature times width^2 / 24


@pytest.mark.parametrize("decoder", ["l2", "discretised-logistic"])
def test_the_score_is_one_term_of_the_sum_over_all_code_maps(decoder: str) -> None:
    """p(x) = sum over z of p(z) p(x given z), by enumeration of 3^4 code maps; the encoder's own z is one of them."""
    model = small(decoder=decoder, num_codes=3)
    batch = images(3)
    every = torch.tensor(list(itertools.product(range(3), repeat=4))).reshape(-1, 2, 2)
    with torch.no_grad():
        terms = torch.stack([model.log_likelihood(image.expand(81, 1, 4, 4), every) for image in batch])
        exact = torch.logsumexp(terms - math.log(81.0), 1)
        own = model.log_likelihood(batch, model.codes(batch)) - math.log(81.0)
    torch.testing.assert_close(model.log_probability(batch), own)
    assert (own < exact).all()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.num_codes is 1"):
        VQVAEConfig(num_codes=1)
    with pytest.raises(ValueError, match=r"model\.restart_below is 0\.1.*moving-average"):
        VQVAEConfig(codebook="gradient", restart_below=0.1)
    with pytest.raises(ValueError, match=r"model\.num_stages is 3.*multiples of 8"):
        VQVAEConfig(num_stages=3).build(SQUARE)
