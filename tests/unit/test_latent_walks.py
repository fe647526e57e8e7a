"""Walks in latent space: paths between points, single dimensions, arithmetic; and the latents that they start from."""

import math
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from gen_dist.capabilities import Decodes, Samples
from gen_dist.learner import Learner, Phase, Player
from gen_dist.models.table import family_of
from gen_dist.presets import PRESETS
from gen_dist.sampling.arithmetic import CENTRE, combine, exemplars, variations
from gen_dist.sampling.draw import draw_samples
from gen_dist.sampling.interpolate import lerp, path, slerp
from gen_dist.sampling.latents import decode_all, draw_latents, numbered_latents, prior_of
from gen_dist.sampling.traverse import changes, traversal
from gen_dist.types import DataSpec, SourceSpec

SIZE = 6
WEIGHT = torch.arange(-12.0, 12.0).reshape(4, SIZE) / 2
EXACT = 1e-12
"""Float64 carries 16 digits, and these sums have a handful of terms of size 1."""


class Linear(Learner):
    """Decodes by a matrix, and shows the pixels as whole numbers around 128; its latents are drawn as it is told."""

    def __init__(self, centre: float = 0.0, spread: float = 1.0) -> None:
        super().__init__()
        self.centre, self.spread = centre, spread

    @property
    def players(self) -> Mapping[str, Player]:
        return {}

    @property
    def phases(self) -> Sequence[Phase]:
        return ()

    def draw_latents(self, num: int) -> Tensor:
        return self.centre + self.spread * torch.randn(num, SIZE, dtype=torch.float64)

    def decode(self, latents: Tensor) -> Tensor:
        values = latents @ WEIGHT.double().T
        return (128 + values).round().clamp(0, 255).to(torch.uint8).reshape(-1, 1, 2, 2)


def vectors(seed: int, num: int = 2) -> Tensor:
    return torch.randn(num, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", [slerp, lerp])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_of_a_path_are_exact(step: type[slerp], seed: int, dtype: torch.dtype) -> None:
    start, end = vectors(seed).to(dtype)
    assert torch.equal(step(start, end, 0.0), start)
    assert torch.equal(step(start, end, 1.0), end)


def test_a_spherical_path_keeps_the_length_and_turns_evenly() -> None:
    start, end = (vector / vector.norm() for vector in vectors(0))
    points = path(start, end, 9, "spherical")
    assert torch.allclose(points.norm(dim=1), torch.ones(9, dtype=torch.float64), atol=EXACT, rtol=0)
    turns = (points[:-1] * points[1:]).sum(1).arccos()
    assert torch.allclose(turns, turns.mean().expand(8), atol=1e-9, rtol=0)  # arccos halves the digits
    assert float(turns.sum()) == pytest.approx(math.acos(float(start @ end)), abs=1e-9)


def test_the_middle_of_a_right_angle_is_its_bisector_with_the_mean_length() -> None:
    start, end = torch.zeros(2, 3, dtype=torch.float64)
    start[0], end[1] = 2.0, 4.0
    middle = slerp(start, end, 0.5)
    assert torch.allclose(middle, torch.tensor([3.0, 3.0, 0.0], dtype=torch.float64) / math.sqrt(2), atol=EXACT)
    assert torch.equal(lerp(start, end, 0.5), torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("factor", [1.0, 3.0, -1.0, -0.5, 0.0, 1.0 + 1e-15])
def test_where_there_is_no_turn_the_path_is_straight(factor: float) -> None:
    start = vectors(1)[0]
    found = slerp(start, factor * start, 0.25)
    assert torch.allclose(found, (0.75 + 0.25 * factor) * start, atol=EXACT)
    assert found.isfinite().all()


def test_a_nearly_parallel_turn_agrees_with_the_straight_line() -> None:
    start, sideways = vectors(2)
    for size in (1e-3, 1e-5, 1e-6, 1e-7):  # on both sides of the switch
        end = start + size * sideways
        assert torch.allclose(slerp(start, end, 0.3), lerp(start, end, 0.3), atol=size**2)  # they part at second order


def test_a_path_has_two_ends() -> None:
    with pytest.raises(ValueError, match="steps is 1"):
        path(*vectors(0), num=1, kind="linear")


def test_a_linear_decoder_maps_arithmetic_to_arithmetic() -> None:
    groups = vectors(3, 9).reshape(3, 3, SIZE)
    decoded = [(group @ WEIGHT.double().T).mean(0) for group in groups]
    found = combine(*groups) @ WEIGHT.double().T
    assert torch.allclose(found, decoded[0] - decoded[1] + decoded[2], atol=1e-10)  # weights up to 6, 9 rows


def test_variations_stay_inside_their_noise_around_the_exact_middle() -> None:
    centre, scale = vectors(4)[0], torch.linspace(0.0, 0.5, SIZE, dtype=torch.float64)
    found = variations(centre, scale, seed=7)
    assert torch.equal(found[CENTRE], centre)
    assert ((found - centre).abs() <= scale).all()
    others = torch.cat([found[:CENTRE], found[CENTRE + 1 :]])
    assert len(others.unique(dim=0)) == 8
    assert (others[:, 0] == centre[0]).all()  # no noise where there shall be none
    assert torch.equal(found, variations(centre, scale, seed=7))
    assert not torch.equal(found, variations(centre, scale, seed=8))


def test_exemplars_are_of_their_class_the_surest_first() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.45, 0.55], [0.6, 0.4]])
    assert exemplars(probabilities, 1, 2).tolist() == [2, 1]
    assert exemplars(probabilities, 0, 5).tolist() == [0, 4]  # no more than there are


def test_a_traversal_changes_its_dimension_and_no_other() -> None:
    latent = vectors(5)[0]
    moved = traversal(latent, 2, [-3.0, 0.0, 3.0])
    assert moved[:, 2].tolist() == [-3.0, 0.0, 3.0]
    rest = [0, 1, 3, 4, 5]
    assert torch.equal(moved[:, rest], latent[rest].expand(3, -1))


def test_the_change_of_a_dimension_is_that_of_its_column() -> None:
    """A whole weight times a step of 2 is a whole number of grey levels, which rounding leaves alone."""
    ends = torch.ones(SIZE, dtype=torch.float64)
    found = changes(Linear(), torch.zeros(40, SIZE, dtype=torch.float64), -2 * ends, 2 * ends)
    assert torch.allclose(found, (4 * WEIGHT.double()).square().mean(0).sqrt(), atol=EXACT)


def test_latents_are_found_again_by_number() -> None:
    learner = Linear()
    many = draw_latents(learner, 150, seed=3)
    assert torch.equal(draw_latents(learner, 5, seed=3), many[:5])
    assert torch.equal(numbered_latents(learner, (140, 2), seed=3), many[[140, 2]])
    assert not torch.equal(draw_latents(learner, 5, seed=4), many[:5])
    with pytest.raises(ValueError, match=r"\[-1\]: give at least one, none below 0"):
        numbered_latents(learner, (-1,), seed=0)


def test_a_standard_normal_prior_is_recognised_and_others_are_not() -> None:
    assert prior_of(Linear()).standard_normal
    assert prior_of(Linear()).deviation.tolist() == [1.0] * SIZE
    for wrong in (Linear(centre=0.5), Linear(spread=1.3)):
        found = prior_of(wrong)
        assert not found.standard_normal
        # a mean of 1024 draws has a standard error of spread / 32, a deviation of spread / 45
        assert torch.allclose(found.mean, torch.full((SIZE,), wrong.centre, dtype=torch.float64), atol=0.2)
        assert torch.allclose(found.deviation, torch.full((SIZE,), wrong.spread, dtype=torch.float64), atol=0.2)


DATA = DataSpec(
    channels=1,
    height=8,
    width=8,
    class_names=tuple("0123456789"),
    source=SourceSpec(channels=1, height=8, width=8),
    caption_bytes=16,
)
DRAWS_PIXELS = {"ppca"}
"""Families whose samples have noise that no latent stands for."""


def test_numbered_latents_are_those_of_the_samples() -> None:
    """In every family that draws an image by decoding a latent: what is on the sheet is found again."""
    compared = set()
    for name, preset in PRESETS.items():
        config = preset.build().model
        family = family_of(config).name
        if not name.endswith("-8") or family in DRAWS_PIXELS | compared:
            continue
        torch.manual_seed(0)
        learner = config.build(DATA).eval()
        if isinstance(learner, Decodes) and isinstance(learner, Samples):
            compared.add(family)
            found = decode_all(learner, numbered_latents(learner, (0, 5, 63), seed=2), seed=0)
            assert torch.equal(found, draw_samples(learner, 64, seed=2)[[0, 5, 63]]), name
    assert {"dcgan", "vae", "gumbel-vae", "realnvp", "glow", "vqvae-prior"} <= compared


def test_who_cannot_is_told_what_it_can() -> None:
    learner = PRESETS["pixelcnn-8"].build().model.build(DATA)
    for refused in (lambda: draw_latents(learner, 1, seed=0), lambda: decode_all(learner, torch.zeros(1, 2), seed=0)):
        with pytest.raises(ValueError, match="PixelCNN can't decode latents; what it can do: samples"):
            refused()
