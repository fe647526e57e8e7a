"""Flows: inverses, log-determinants, densities that integrate to 1, and the bound on 8-bit images."""

import math

import pytest
import torch
from torch import Tensor, nn

from gen_dist.learner import Context, Loss
from gen_dist.models.flow.realnvp import RealNVP, RealNVPConfig
from gen_dist.nn.coupling import ActNorm, AffineCoupling, FlowBatchNorm, channel_mask, checkerboard_mask
from gen_dist.nn.squeeze import squeeze, unsqueeze
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64
SHAPES = [(1, 8, 8), (3, 8, 8), (1, 28, 28), (1, 6, 6), (3, 5, 7), (1, 1, 2)]


def rough_flow(shape: tuple[int, int, int], *, normalization: str = "act", std: float = 0.06) -> RealNVP:
    """A flow far from the identity: every weight is drawn anew."""
    torch.manual_seed(3)
    config = RealNVPConfig(scales=3, hidden=8, num_blocks=1, normalization=normalization)
    flow = config.build(DataSpec(channels=shape[0], height=shape[1], width=shape[2])).double().eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.normal_(std=std)
        for name, buffer in flow.named_buffers():
            if name.endswith(("running_mean", "running_variance")):
                buffer.uniform_(0.5, 2.0)
    return flow


def random_images(num: int, shape: tuple[int, int, int]) -> Tensor:
    return torch.randint(0, 256, (num, *shape), dtype=torch.uint8)


def test_squeeze_equals_its_drawing() -> None:
    image = torch.arange(16).reshape(1, 1, 4, 4)
    expected = torch.tensor([[[0, 2], [8, 10]], [[1, 3], [9, 11]], [[4, 6], [12, 14]], [[5, 7], [13, 15]]])
    assert torch.equal(squeeze(image)[0], expected)


def test_unsqueeze_inverts_squeeze() -> None:
    image = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    assert squeeze(image).shape == (2, 12, 2, 3)
    assert torch.equal(unsqueeze(squeeze(image)), image)
    reordered = image.to(memory_format=torch.channels_last)
    assert torch.equal(squeeze(reordered), squeeze(image))


def test_the_checkerboard_equals_its_drawing() -> None:
    plain = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]])
    assert torch.equal(checkerboard_mask(3, 4, invert=False)[0, 0], plain.float())
    assert torch.equal(checkerboard_mask(3, 4, invert=True)[0, 0], 1.0 - plain.float())


def test_channel_masks_pass_one_half() -> None:
    assert channel_mask(4, invert=False).flatten().tolist() == [0, 0, 1, 1]
    assert channel_mask(4, invert=True).flatten().tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("normalization", ["act", "batch"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_inverse_inverts(shape: tuple[int, int, int], normalization: str) -> None:
    flow = rough_flow(shape, normalization=normalization)
    values = torch.randn(4, *shape, dtype=DOUBLE)
    with torch.no_grad():
        latents, _ = flow.transform(values)
        assert latents.shape == (4, math.prod(shape))
        assert not torch.allclose(latents.sort(1).values, values.flatten(1).sort(1).values)  # more than a permutation
        # Rounding grows with the condition of up to 20 layers.
        torch.testing.assert_close(flow.inverse(latents), values, rtol=0.0, atol=1e-8)


@pytest.mark.parametrize("normalization", ["act", "batch"])
@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 2, 4), (1, 3, 5)], ids=str)
def test_the_log_determinant_is_autodiff_s(shape: tuple[int, int, int], normalization: str) -> None:
    flow = rough_flow(shape, normalization=normalization)
    values = torch.randn(1, *shape, dtype=DOUBLE)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.transform(x)[0], values)
    assert isinstance(jacobian, Tensor)
    size = math.prod(shape)
    expected = torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet
    torch.testing.assert_close(flow.transform(values)[1][0], expected)


def test_batch_norm_s_log_determinant_in_training_is_that_of_its_statistics() -> None:
    layer = FlowBatchNorm(2).double().train()
    values = 3.0 * torch.randn(5, 2, 2, 3, dtype=DOUBLE) + 1.0
    output, log_determinant = layer(values)
    torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(2, dtype=DOUBLE), rtol=0.0, atol=1e-12)
    expected = -0.5 * 6 * torch.log(values.var((0, 2, 3), correction=0) + 1e-5).sum()
    torch.testing.assert_close(log_determinant, expected.expand(5))


def test_the_density_of_logits_integrates_to_one_in_two_dimensions() -> None:
    flow = rough_flow((1, 1, 2), std=0.2).float()  # float64 convolutions are slow, and quadrature does not need them
    num = 301
    axis = torch.linspace(-15.0, 15.0, num)
    grid = torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2)
    with torch.no_grad():
        latents, log_determinant = flow.transform(grid)
    log_density = -0.5 * latents.square().sum(1) - math.log(2.0 * math.pi) + log_determinant
    density = log_density.exp().reshape(num, num)
    border = torch.cat([density[0], density[-1], density[:, 0], density[:, -1]])
    assert border.max() < 1e-6  # nothing is cut off
    assert log_determinant.std() > 0.01  # and the volume changes from place to place
    total = torch.trapezoid(torch.trapezoid(density, axis), axis)
    # Coupling networks have kinks (ReLU), for which the trapezoid rule is of second order: step 0.1.
    torch.testing.assert_close(total, torch.ones(()), rtol=0.0, atol=2e-3)


def test_logits_and_their_slope() -> None:
    flow = rough_flow((1, 1, 2), std=0.2)
    values = torch.tensor([0.0, 3.7, 128.0, 255.9, 256.0, 77.0], dtype=DOUBLE).reshape(3, 1, 1, 2).requires_grad_()
    logits, log_slope = flow.to_logits(values)
    torch.testing.assert_close(flow.from_logits(logits), values)
    (slope,) = torch.autograd.grad(logits.sum(), values)
    torch.testing.assert_close(log_slope, slope.log().flatten(1).sum(1))


def test_probabilities_of_8_bit_images_lie_above_their_bound_and_sum_to_the_mass_in_range() -> None:
    """Bins have volume 1 in the scale of `log_density`, so their masses add up to how often latents decode in range."""
    flow = rough_flow((1, 1, 2), std=0.2).float()
    with torch.no_grad():
        for layer in flow.modules():
            if isinstance(layer, ActNorm):
                layer.log_scale.sub_(0.3)  # wider images: a good part falls out of range
    axis = (torch.arange(256)[:, None] + torch.tensor([0.25, 0.75])).flatten()  # the midpoint rule inside each bin
    with torch.no_grad():
        log_density = flow.log_density(torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2))
        values = flow.from_logits(flow.inverse(torch.randn(100_000, 2))).flatten(1)
    bins = log_density.reshape(256, 2, 256, 2).transpose(1, 2).reshape(256, 256, 4)
    probability = bins.exp().mean(2)
    assert (bins.mean(2) <= probability.log() + 1e-5).all()  # rounding of float32
    in_range = ((values >= 0.0) & (values <= 256.0)).all(1).float().mean()
    assert 0.05 < in_range < 0.9
    # Four standard errors of a share of 100,000 draws are below 0.0064.
    torch.testing.assert_close(probability.sum(), in_range, rtol=0.0, atol=0.007)


def test_scores_are_the_density_of_dequantised_images() -> None:
    flow = rough_flow((1, 4, 4))
    images = random_images(1, (1, 4, 4))
    repeated = images.expand(2000, -1, -1, -1)
    scores = flow.log_probability(repeated)
    assert scores.std() > 0.0
    values = images + torch.rand(2000, 1, 4, 4, dtype=DOUBLE)
    with torch.no_grad():
        expected = flow.log_density(values)
    error = math.sqrt(2.0) * float(expected.std()) / math.sqrt(2000)
    assert abs(float(scores.mean() - expected.mean())) < 4.0 * error  # four standard errors


def test_decoding_inverts_encoding() -> None:
    flow = rough_flow((3, 8, 8))
    images = random_images(5, (3, 8, 8))
    assert torch.equal(flow.decode(flow.encode(images)), images)


def test_couplings_cannot_overflow() -> None:
    """The log-scale stays below its bound whatever the network says."""
    coupling = AffineCoupling(checkerboard_mask(4, 4, invert=False), 1, hidden=4, num_blocks=1, max_log_scale=2.0)
    with torch.no_grad():
        for parameter in coupling.parameters():
            parameter.mul_(1e3)
    values = 1e3 * torch.randn(3, 1, 4, 4)
    output, log_determinant = coupling(values)
    assert output.isfinite().all()
    assert (log_determinant.abs() <= 2.0 * 8 + 1e-4).all()  # 8 of 16 values move


def test_prepare_standardises_what_every_act_norm_passes_on() -> None:
    torch.manual_seed(0)
    flow = RealNVPConfig(hidden=4, num_blocks=0).build(DataSpec(channels=1, height=8, width=8)).double()
    passed: list[Tensor] = []
    flow.prepare(ImageBatch(images=random_images(64, (1, 8, 8)) // 2))
    for layer in flow.modules():
        if isinstance(layer, ActNorm):
            layer.register_forward_hook(lambda _layer, _inputs, output: passed.append(output[0]))
    torch.manual_seed(0)
    images = random_images(64, (1, 8, 8)) // 2
    flow.log_probability(images)
    assert len(passed) == 10
    for values in passed:
        # Other dequantisation noise and other images of the same distribution than in `prepare`.
        assert values.mean((0, 2, 3)).abs().max() < 0.25
        assert (values.var((0, 2, 3)) - 1.0).abs().max() < 0.25


def test_finalised_batch_norm_in_evaluation_is_that_of_training_on_the_same_images() -> None:
    flow = rough_flow((1, 4, 4), normalization="batch").train()
    batches = [ImageBatch(images=random_images(32, (1, 4, 4))) for _ in range(2)]
    images = torch.cat([batch.images for batch in batches])
    torch.manual_seed(5)
    flow.finalise(batches)
    torch.manual_seed(5)
    in_training = flow.log_probability(images)
    flow.eval()
    torch.manual_seed(5)
    torch.testing.assert_close(flow.log_probability(images), in_training)
    latents = flow.encode(images)
    assert torch.equal(flow.decode(latents), images)


def test_the_phase_moves_every_weight() -> None:
    flow = RealNVPConfig(hidden=8).build(DataSpec(channels=1, height=8, width=8)).double()
    batch = ImageBatch(images=random_images(16, (1, 8, 8)))
    flow.prepare(batch)
    (phase,) = flow.phases
    signal = phase.signal(batch, Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    assert 6.0 < float(signal.value.detach()) < 9.0  # bits per dimension of noise, at a fresh flow
    parameters = flow.active(phase.player, Moment())
    assert {id(p) for p in parameters} == {id(p) for p in flow.parameters()}
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal.deposit(parameters, 1.0)
    assert all(p.grad is not None and p.grad.abs().sum() > 0.0 for p in parameters)


def test_sizes_that_cannot_be_halved_get_fewer_scales() -> None:
    def num_scales(height: int, width: int) -> int:
        flow = RealNVPConfig(scales=3, hidden=2, num_blocks=0).build(DataSpec(channels=1, height=height, width=width))
        assert isinstance(flow.scales, nn.ModuleList)
        return len(flow.scales)

    assert [num_scales(28, 28), num_scales(8, 8), num_scales(7, 8), num_scales(6, 6)] == [3, 3, 1, 2]
