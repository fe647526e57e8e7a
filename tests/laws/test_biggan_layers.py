"""Layers of a BigGAN in float64, each against a plain formula or torch's own layer."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gen_dist.losses.orthogonality import filter_overlap
from gen_dist.models.gan.truncated_normal import truncated_normal
from gen_dist.nn.attention import SelfAttention
from gen_dist.nn.conditional_normalization import ConditionalNormalization
from gen_dist.nn.residual import DoublingBlock, HalvingBlock
from gen_dist.nn.spectral import (
    SpectralNorm,
    largest_singular_values,
    orthogonal,
    orthonormalised,
    spectrally_normalized,
)

DOUBLE = torch.float64
CPU = torch.device("cpu")


def spread(layer: nn.Module) -> Tensor:
    """Gives the weight singular values that are far apart, so that the power iteration converges; they come back."""
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    left, values, right = torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)
    values = 5.0 * 0.5 ** torch.arange(len(values), dtype=weight.dtype)
    with torch.no_grad():
        weight.copy_((left * values @ right).view_as(weight))
    return values


def norm_of(layer: nn.Module) -> SpectralNorm:
    parametrizations = layer.get_submodule("parametrizations.weight")
    assert isinstance(parametrizations, parametrize.ParametrizationList)
    assert isinstance(parametrizations[0], SpectralNorm)
    return parametrizations[0]


LAYERS = {
    "linear": lambda: nn.Linear(7, 12),
    "convolution": lambda: nn.Conv2d(4, 6, 3),
    "pointwise": lambda: nn.Conv2d(12, 5, 1, bias=False),
    "embedding": lambda: nn.Embedding(9, 5),
}


@pytest.mark.parametrize("num", [1, 3])
@pytest.mark.parametrize("kind", LAYERS)
def test_spectral_norm_follows_the_largest_singular_values(kind: str, num: int) -> None:
    torch.manual_seed(0)
    layer = LAYERS[kind]().double()
    expected = spread(layer)
    raw = layer.weight.detach().clone()
    spectrally_normalized(layer, num)
    for _ in range(60):
        weight = layer.weight
    # Each step multiplies the error by the square of a ratio of neighbouring values, 1/4: 1e-36 after 60.
    torch.testing.assert_close(weight.detach(), raw / expected[0], rtol=1e-12, atol=1e-14)
    found = norm_of(layer).singular_values(raw)
    torch.testing.assert_close(found, expected[:num], rtol=1e-10, atol=0.0)
    torch.testing.assert_close(found, torch.linalg.svdvals(raw.flatten(1))[:num], rtol=1e-10, atol=0.0)


def test_a_narrow_weight_has_as_many_singular_values_as_it_has() -> None:
    layer = spectrally_normalized(nn.Linear(5, 1).double(), 3)
    assert norm_of(layer).left.shape == (1, 1)
    torch.testing.assert_close(torch.linalg.vector_norm(layer.weight), torch.ones((), dtype=DOUBLE))


def test_evaluation_moves_no_vector_and_repeats_itself() -> None:
    torch.manual_seed(0)
    layer = spectrally_normalized(nn.Conv2d(3, 8, 3).double(), 2)
    layer.eval()
    before = copy.deepcopy(layer.state_dict())
    assert layer.weight.equal(layer.weight)
    assert all(value.equal(before[name]) for name, value in layer.state_dict().items())
    layer.train()
    assert not layer.weight.equal(layer.weight)


def test_the_gradient_of_a_normalised_weight_is_that_of_the_weight_over_its_norm() -> None:
    """Miyato et al. 2018: the derivative of the largest singular value of W is u v^T."""
    torch.manual_seed(0)
    layer = nn.Linear(6, 4, bias=False).double()
    spread(layer)
    spectrally_normalized(layer)
    for _ in range(60):
        weight = layer.weight
    direction = torch.randn(4, 6, dtype=DOUBLE)
    original = layer.parametrizations.weight.original  # type: ignore[union-attr]
    (found,) = torch.autograd.grad((weight * direction).sum(), original)  # type: ignore[arg-type]
    raw = original.detach().clone().requires_grad_()  # type: ignore[union-attr,operator]
    (expected,) = torch.autograd.grad((raw / torch.linalg.matrix_norm(raw, 2) * direction).sum(), raw)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_two_passes_before_a_gradient_do_not_disturb_each_other() -> None:
    """The second pass moves the vectors that the first one's gradient needs."""
    torch.manual_seed(0)
    layer = spectrally_normalized(nn.Linear(6, 4).double())
    first, second = layer(torch.ones(1, 6, dtype=DOUBLE)), layer(torch.zeros(1, 6, dtype=DOUBLE))
    (first.sum() + second.sum()).backward()


def test_orthonormal_rows() -> None:
    rows = orthonormalised(torch.randn(4, 9, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(rows @ rows.t(), torch.eye(4, dtype=DOUBLE), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_orthogonal_layers_change_no_length(kind: str) -> None:
    layer = orthogonal(LAYERS[kind]().double())
    values = torch.linalg.svdvals(layer.weight.detach().flatten(1))
    torch.testing.assert_close(values, torch.ones_like(values), rtol=1e-12, atol=0.0)
    assert all(parameter.eq(0.0).all() for name, parameter in layer.named_parameters() if name == "bias")


def test_the_largest_values_of_a_network() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 6).double(), nn.Linear(6, 6).double(), nn.Linear(6, 1).double()]
    raws = []
    for factor, layer in zip((1.0, 3.0, 2.0), layers, strict=True):
        spread(layer)
        with torch.no_grad():
            layer.weight.mul_(factor)
        raws.append(torch.linalg.svdvals(layer.weight.detach()))
        spectrally_normalized(layer, 2)
    network = nn.Sequential(*layers)
    for _ in range(40):
        network(torch.zeros(1, 6, dtype=DOUBLE))
    first, second = largest_singular_values(network, 2)
    # The layer with one output has one value, and takes no part in the second.
    assert first.item() == pytest.approx(max(float(values[0]) for values in raws), rel=1e-9)
    assert second.item() == pytest.approx(max(float(values[1]) for values in raws[:2]), rel=1e-9)


@pytest.mark.parametrize("training", [True, False])
def test_conditional_batch_norm_is_a_batch_norm_with_a_gain_and_offset_for_each_class(training: bool) -> None:
    torch.manual_seed(0)
    layer = ConditionalNormalization("batch", 5, 3).double()
    classes = torch.eye(3, dtype=DOUBLE)  # one-hot embeddings pick a column of each map
    labels = torch.tensor([0, 1, 2, 1, 0, 2, 2])
    first, features = 2.0 + 3.0 * torch.randn(2, 7, 5, 4, 4, dtype=DOUBLE)
    layer.train()
    layer(first, classes[labels])  # running statistics that are not 0 and 1
    layer.train(training)
    twins = []
    layer.eval()  # the maps' weights must not move while they are read
    for label in range(3):
        twin = nn.BatchNorm2d(5).double()
        twin(first)
        with torch.no_grad():
            twin.weight.copy_(1.0 + layer.gain.weight[:, label])
            twin.bias.copy_(layer.offset.weight[:, label])
        twins.append(twin.train(training))
    layer.norm.train(training)
    found = layer(features, classes[labels])
    expected = torch.stack([twins[label](features)[row] for row, label in enumerate(labels.tolist())])
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["group", "none"])
def test_other_conditional_normalisations_do_not_mix_images(kind: str) -> None:
    torch.manual_seed(0)
    layer = ConditionalNormalization(kind, 8, 3).double().eval()  # type: ignore[arg-type]
    features, condition = torch.randn(4, 8, 4, 4, dtype=DOUBLE), torch.randn(4, 3, dtype=DOUBLE)
    alone = torch.cat([layer(features[i : i + 1], condition[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(layer(features, condition), alone, rtol=1e-10, atol=1e-12)


def test_attention_starts_as_the_identity() -> None:
    features = torch.randn(2, 16, 6, 6, dtype=DOUBLE)
    assert SelfAttention(16).double()(features).equal(features)


@pytest.mark.parametrize("size", [(4, 4), (5, 7)])
def test_attention_is_a_softmax_over_places(size: tuple[int, int]) -> None:
    """Place by place, with loops: SAGAN's formula with keys and values from squares of 2 x 2."""
    torch.manual_seed(0)
    layer = SelfAttention(16).double().eval()
    with torch.no_grad():
        layer.gain.fill_(0.7)
    image = torch.randn(16, *size, dtype=DOUBLE)
    query, key, value, output = (
        part.weight[:, :, 0, 0].detach() for part in (layer.query, layer.key, layer.value, layer.output)
    )
    squares = [
        image[:, i : i + 2, j : j + 2].flatten(1) for i in range(0, size[0] - 1, 2) for j in range(0, size[1] - 1, 2)
    ]
    keys = [(key @ square).amax(dim=1) for square in squares]
    values = [(value @ square).amax(dim=1) for square in squares]
    expected = torch.empty_like(image)
    for i in range(size[0]):
        for j in range(size[1]):
            likeness = [math.exp(float((query @ image[:, i, j]) @ k)) for k in keys]
            mixed = sum((e / sum(likeness)) * v for e, v in zip(likeness, values, strict=True))
            expected[:, i, j] = image[:, i, j] + 0.7 * (output @ mixed)  # type: ignore[operator]
    torch.testing.assert_close(layer(image[None])[0], expected, rtol=1e-10, atol=1e-12)


def test_blocks_are_their_drawing() -> None:
    """Against the plain order of the paper's figure, where shortcuts are doubled or convolved at full size."""
    torch.manual_seed(0)
    doubling = DoublingBlock(6, 4, 3, normalization="none").double().eval()
    x, y = torch.randn(2, 6, 4, 4, dtype=DOUBLE), torch.randn(2, 3, dtype=DOUBLE)
    twice = nn.Upsample(scale_factor=2)
    hidden = doubling.first(twice(doubling.first_norm(x, y).relu()))
    hidden = doubling.second(doubling.second_norm(hidden, y).relu())
    torch.testing.assert_close(doubling(x, y), hidden + doubling.shortcut(twice(x)), rtol=1e-10, atol=1e-12)

    half = nn.AvgPool2d(2)
    for activated in (True, False):
        halving = HalvingBlock(6, 4, halves=True, activated=activated).double().eval()
        hidden = halving.second(halving.first(x.relu() if activated else x).relu())
        torch.testing.assert_close(halving(x), half(hidden) + half(halving.shortcut(x)), rtol=1e-10, atol=1e-12)
    keeping = HalvingBlock(6, 6, halves=False).double().eval()
    torch.testing.assert_close(keeping(x), keeping.second(keeping.first(x.relu()).relu()) + x, rtol=1e-12, atol=0.0)


def test_filter_overlap_vanishes_for_orthogonal_rows_of_any_length() -> None:
    torch.manual_seed(0)
    rows = torch.linalg.qr(torch.randn(8, 4, dtype=DOUBLE)).Q.t() * torch.tensor([[1.0], [2.0], [0.0], [5.0]])
    assert filter_overlap([rows, rows.view(4, 2, 2, 2)]).item() < 1e-24  # rounding, squared


def test_filter_overlap_is_the_formula_with_its_gradient() -> None:
    torch.manual_seed(0)
    shapes = [(3, 5), (4, 2, 3, 3), (9, 2), (4, 4)]  # (9, 2): more filters than there are directions
    weights = [torch.randn(shape, dtype=DOUBLE) for shape in shapes]
    expected = sum(
        float(one.flatten() @ other.flatten()) ** 2
        for weight in weights
        for i, one in enumerate(weight)
        for j, other in enumerate(weight)
        if i != j
    )
    assert filter_overlap(weights).item() == pytest.approx(expected, rel=1e-12)
    for weight in (weights[0], weights[2]):
        (gradient,) = torch.autograd.grad(filter_overlap([weight.requires_grad_()]), weight)
        products = weight @ weight.t() * (1.0 - torch.eye(len(weight), dtype=DOUBLE))
        torch.testing.assert_close(gradient, 4.0 * products @ weight, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("threshold", [0.05, 0.5, 2.0, 9.0])
def test_truncated_normals_are_within_the_threshold_and_normal_inside(threshold: float) -> None:
    torch.manual_seed(0)
    values = truncated_normal((200_000,), threshold, dtype=torch.float32, device=CPU)
    assert values.isfinite().all()
    assert values.abs().max() <= threshold
    # Kolmogorov and Smirnov: the largest distance of n draws from their distribution exceeds 1.95 / sqrt(n) once in a
    # thousand seeds.
    share = math.erf(threshold / math.sqrt(2.0))
    ordered = values.double().sort().values
    exact = 0.5 + 0.5 * torch.erf(ordered / math.sqrt(2.0)) / share
    observed = (torch.arange(len(ordered), dtype=DOUBLE) + 0.5) / len(ordered)
    assert (exact - observed).abs().max() < 1.95 / math.sqrt(len(ordered))


def test_an_infinite_threshold_is_the_normal_distribution_bit_for_bit() -> None:
    torch.manual_seed(4)
    expected = torch.randn(3, 5)
    after = torch.rand(2)
    torch.manual_seed(4)
    assert truncated_normal((3, 5), math.inf, dtype=torch.float32, device=CPU).equal(expected)
    assert torch.rand(2).equal(after)
