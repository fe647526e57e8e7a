"""What single families of flows promise beyond the laws that hold for all."""

import math

import pytest
import torch
from flow_cases import DOUBLE, random_images, rough_flow
from torch import Tensor, nn

from gen_dist.models.flow.flow import MIN_ALPHA
from gen_dist.models.flow.glow import Glow, GlowConfig, GlowStep
from gen_dist.models.flow.nice import NICE, NICEConfig
from gen_dist.models.flow.realnvp import RealNVPConfig
from gen_dist.nn.channel_coupling import ActNormConvolution
from gen_dist.nn.coupling import ActNorm
from gen_dist.presets import preset
from gen_dist.types import DataSpec, ImageBatch

GREY = DataSpec(channels=1, height=8, width=8)


def watch(layers: list[nn.Module]) -> list[Tensor]:
    """What these layers put out from now on."""
    passed: list[Tensor] = []

    def keep(_layer: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, Tensor]) -> None:
        passed.append(output[0] if isinstance(output, tuple) else output)

    for layer in layers:
        layer.register_forward_hook(keep)
    return passed


@pytest.mark.parametrize(
    ("config", "kind", "num"),
    [
        (RealNVPConfig(hidden=4, num_blocks=0), ActNorm, 10),
        (GlowConfig(scales=2, steps=3, hidden=4), ActNormConvolution, 12),
    ],
    ids=["realnvp", "glow"],
)
def test_prepare_standardises_what_every_act_norm_passes_on(
    config: RealNVPConfig | GlowConfig, kind: type[nn.Module], num: int
) -> None:
    flow = config.build(GREY).double()
    flow.prepare(ImageBatch(images=random_images(128, (1, 8, 8)) // 2))
    passed = watch([layer for layer in flow.modules() if isinstance(layer, kind)])
    flow.log_probability(random_images(128, (1, 8, 8)) // 2)
    assert len(passed) == num
    for values in passed:
        # Other dequantisation noise and other images of the same distribution than in `prepare`.
        assert values.mean((0, 2, 3)).abs().max() < 0.3
        assert (values.var((0, 2, 3)) - 1.0).abs().max() < 0.35


def test_finalised_batch_norm_in_evaluation_is_that_of_training_on_the_same_images() -> None:
    flow = rough_flow("realnvp batch", (1, 4, 4)).train()
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


def test_sizes_that_cannot_be_halved_get_fewer_scales() -> None:
    def num_scales(config: RealNVPConfig | GlowConfig, height: int, width: int) -> int:
        return len(config.build(DataSpec(channels=1, height=height, width=width)).scales)

    couplings = RealNVPConfig(scales=3, hidden=2, num_blocks=0)
    assert [num_scales(couplings, *size) for size in ((28, 28), (8, 8), (7, 8), (6, 6))] == [3, 3, 1, 2]
    steps = GlowConfig(scales=3, steps=1, hidden=2)
    assert [num_scales(steps, *size) for size in ((28, 28), (8, 8), (2, 8), (6, 6))] == [2, 3, 1, 1]


def test_glow_refuses_odd_sides() -> None:
    with pytest.raises(ValueError, match="7 x 8"):
        GlowConfig().build(DataSpec(channels=1, height=7, width=8))


def test_the_smallest_alpha_gives_white_a_finite_logit() -> None:
    white = torch.full((1, 1, 8, 8), 255.0) + (1.0 - 2.0**-24)  # the largest draw there is
    assert white.max() == 256.0
    logits, log_slope = RealNVPConfig(hidden=2, num_blocks=0, alpha=MIN_ALPHA).build(GREY).to_logits(white)
    assert logits.isfinite().all()
    assert log_slope.isfinite().all()
    with pytest.raises(ValueError, match=r"model\.alpha is 1e-08"):
        RealNVPConfig(hidden=2, num_blocks=0, alpha=1e-8).build(GREY)


def test_nice_refuses_a_single_value() -> None:
    with pytest.raises(ValueError, match="single value"):
        NICEConfig().build(DataSpec(channels=1, height=1, width=1))


def test_doubled_features_follow_the_squeezes() -> None:
    flow = RealNVPConfig(scales=2, hidden=3, num_blocks=0, double_hidden=True).build(GREY)
    entering = [layer.out_channels for name, layer in flow.named_modules() if name.endswith("network.enter")]
    assert entering == [3, 3, 3, 6, 6, 6, 6, 6, 6, 6]


def test_a_glow_step_is_its_three_layers_one_after_the_other() -> None:
    step = GlowStep(6, GlowConfig(hidden=5)).double()
    with torch.no_grad():
        for parameter in step.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    values = torch.randn(3, 6, 4, 4, dtype=DOUBLE)
    expected, total = values, torch.zeros(3, dtype=DOUBLE)
    for layer in (step.normalization, step.convolution, step.coupling):
        expected, log_determinant = layer(expected)
        total = total + log_determinant
    output, log_determinant = step(values)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(log_determinant, total)


def test_glow_s_learned_prior_is_a_gaussian_given_what_stays() -> None:
    """The log-density of leaving latents, from the layer's own mean and scale, is the flow's."""
    flow = rough_flow("glow", (1, 8, 8))
    assert isinstance(flow, Glow)
    first = flow.scales[0]
    assert isinstance(first, nn.ModuleList)
    prior = first[-1]
    values = torch.randn(3, 4, 4, 4, dtype=DOUBLE)
    leaving, staying = values.chunk(2, 1)
    raw, shift = prior.network(staying).chunk(2, 1)
    log_scale = 2.0 * torch.tanh(raw / 2.0)
    gaussian = torch.distributions.Normal(-shift * torch.exp(-log_scale), torch.exp(-log_scale))
    output, log_determinant = prior(values)
    standard = torch.distributions.Normal(0.0, 1.0).log_prob(output.chunk(2, 1)[0])
    found = standard.sum((1, 2, 3)) + log_determinant
    torch.testing.assert_close(found, gaussian.log_prob(leaving).sum((1, 2, 3)))


def test_the_paper_s_glow_has_its_size() -> None:
    """By hand, for C channels: 3x3 C/2 -> 512, 1x1, 3x3 -> C, act norms and the mixing matrix; 32 steps at 3 scales."""

    def step(c: int) -> int:
        convolutions = 9 * (c // 2) * 512 + 512 * 512 + 9 * 512 * c + c
        return convolutions + 4 * 512 + 2 * c + c * c

    priors = sum(9 * c // 2 * c + c for c in (12, 24)) + 2 * 48
    expected = 32 * (step(12) + step(24) + step(48)) + priors
    with torch.device("meta"):
        flow = preset("glow-32").model.build(DataSpec(channels=3, height=32, width=32))
    assert sum(parameter.numel() for parameter in flow.parameters()) == expected
    assert expected == 44_050_092  # about 44 million


def test_nice_s_logistic_prior_has_the_logistic_distribution() -> None:
    flow = NICEConfig(hidden=4, hidden_layers=1).build(GREY).double()
    latents = flow.draw_latents(2000)
    uniform = torch.sigmoid(latents).flatten()
    # Largest distance between the empirical and the uniform distribution: 1.95 / sqrt(n) is passed once in 1000.
    distance = (uniform.sort().values - torch.linspace(0.0, 1.0, len(uniform), dtype=DOUBLE)).abs().max()
    assert distance < 1.95 / math.sqrt(len(uniform))
    slope = torch.autograd.functional.jacobian(lambda z: torch.sigmoid(z).sum(), latents[:1])
    assert isinstance(slope, Tensor)
    torch.testing.assert_close(flow.latent_log_density(latents[:1]), slope.log().sum(1))


def test_nice_s_couplings_keep_volume_and_let_every_value_see_every_other() -> None:
    flow = rough_flow("nice logistic", (1, 4, 4), std=0.3)
    assert isinstance(flow, NICE)
    with torch.no_grad():
        flow.log_scale.zero_()
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.transform(x)[0], torch.randn(1, 1, 4, 4, dtype=DOUBLE))
    assert isinstance(jacobian, Tensor)
    matrix = jacobian.reshape(16, 16)
    torch.testing.assert_close(matrix.det(), torch.ones((), dtype=DOUBLE))
    assert (matrix != 0.0).all()
