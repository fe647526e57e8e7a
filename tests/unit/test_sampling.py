"""Drawing is a pure function of the seed and leaves no trace; sheets show every pixel."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gen_dist.learner import Learner, Phase, Player
from gen_dist.sampling.draw import CHUNK, draw_samples, evaluation_mode
from gen_dist.sampling.grids import BACKGROUND, LABEL_MARGIN, PADDING, sample_grid, save_grid


class Noise(Learner):
    """Draws noise through dropout, which evaluation mode must switch off; a condition sets the first pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.dropout = nn.Dropout(0.9)
        self.frozen = nn.BatchNorm2d(1).eval()

    @property
    def players(self) -> Mapping[str, Player]:
        return {}

    @property
    def phases(self) -> Sequence[Phase]:
        return ()

    def sample(self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        images = 100 + 20 * temperature * torch.randn(num, 1, 3, 5) * self.weight
        images = self.dropout(images)
        if condition is not None:
            images[:, 0, 0, 0] = condition.float()
        return images.clamp(1, 255).byte()


class Silent(Learner):
    """Can do nothing."""

    @property
    def players(self) -> Mapping[str, Player]:
        return {}

    @property
    def phases(self) -> Sequence[Phase]:
        return ()


def test_equal_seeds_draw_equal_pixels_whatever_was_drawn_between() -> None:
    learner = Noise()
    first = draw_samples(learner, 10, seed=3)
    torch.randn(1000)
    assert torch.equal(first, draw_samples(learner, 10, seed=3))
    assert not torch.equal(first, draw_samples(learner, 10, seed=4))
    assert first.dtype == torch.uint8


def test_chunks_draw_different_noise_and_full_ones_do_not_depend_on_the_number() -> None:
    images = draw_samples(Noise(), 2 * CHUNK + 5, seed=0)
    assert len(images) == 2 * CHUNK + 5
    assert not torch.equal(images[:CHUNK], images[CHUNK : 2 * CHUNK])
    assert torch.equal(draw_samples(Noise(), CHUNK, seed=0), images[:CHUNK])


def test_drawing_restores_the_generator_and_every_module_s_mode() -> None:
    learner = Noise().train()
    learner.frozen.eval()
    before = torch.get_rng_state()
    images = draw_samples(learner, 8, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert learner.training
    assert learner.dropout.training
    assert not learner.frozen.training
    assert images.min() > 1  # dropout would have zeroed nine pixels of ten


def refuse_in_evaluation_mode(learner: Learner) -> None:
    assert not learner.training
    raise ValueError("cold")


def test_modes_are_restored_after_an_error() -> None:
    learner = Noise().train()
    with pytest.raises(ValueError, match="cold"), evaluation_mode(learner):
        refuse_in_evaluation_mode(learner)
    assert learner.training


def test_conditions_stay_with_their_images_and_temperature_scales_noise() -> None:
    labels = torch.arange(1, CHUNK + 11)
    images = draw_samples(Noise(), CHUNK + 10, seed=0, condition=labels)
    assert torch.equal(images[:, 0, 0, 0].long(), labels)
    cold, warm = (draw_samples(Noise(), 500, seed=0, temperature=t).float().std() for t in (0.1, 1.0))
    assert float(warm / cold) == pytest.approx(10, rel=0.1)  # 7,500 values, rounded down to whole numbers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num": 0}, "num is 0: draw at least 1"),
        ({"num": 3, "temperature": 0.0}, "temperature is 0.0: it must be positive"),
        ({"num": 3, "condition": torch.zeros(2)}, "condition has 2 rows for 3 images"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_samples(Noise(), seed=0, **arguments)


def test_a_learner_that_can_not_sample_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="Silent can't draw images; what it can do: nothing but train"):
        draw_samples(Silent(), 1, seed=0)


def test_a_sheet_holds_every_pixel_at_its_place() -> None:
    images = torch.randint(0, 256, (5, 3, 4, 6), dtype=torch.uint8)
    sheet = sample_grid(images, columns=2, scale=3)
    cell_height, cell_width = 4 * 3 + PADDING, 6 * 3 + PADDING
    assert sheet.size == (2 * cell_width + PADDING, 3 * cell_height + PADDING)
    for index, image in enumerate(images):
        top, left = index // 2 * cell_height + PADDING, index % 2 * cell_width + PADDING
        for row in range(4):
            for column in range(6):
                for inside in (0, 2):
                    pixel = sheet.getpixel((left + 3 * column + inside, top + 3 * row + inside))
                    assert pixel == tuple(image[:, row, column].tolist())
    assert sheet.getpixel((0, 0)) == (BACKGROUND,) * 3
    assert sheet.getpixel((sheet.width - PADDING - 1, sheet.height - PADDING - 1)) == (BACKGROUND,) * 3  # no sixth


def test_small_images_are_magnified_and_large_ones_left_alone() -> None:
    assert sample_grid(torch.zeros(1, 1, 8, 8, dtype=torch.uint8)).size == (64 + 2 * PADDING,) * 2
    assert sample_grid(torch.zeros(1, 1, 100, 100, dtype=torch.uint8)).size == (100 + 2 * PADDING,) * 2


def test_row_labels_stand_left_of_their_rows() -> None:
    images = torch.full((4, 1, 8, 8), 128, dtype=torch.uint8)
    plain, labelled = sample_grid(images, columns=2), sample_grid(images, columns=2, row_labels=("one", ""))
    width = labelled.width - plain.width
    assert width > 2 * LABEL_MARGIN
    assert labelled.height == plain.height
    assert labelled.crop((width, 0, *labelled.size)).tobytes() == plain.tobytes()
    margin = labelled.crop((0, 0, width, labelled.height))
    half = margin.height // 2
    assert margin.crop((0, 0, width, half)).getextrema()[0] < 100  # black letters on white, smoothed
    assert margin.crop((0, half, *margin.size)).getextrema()[0] == BACKGROUND
    with pytest.raises(ValueError, match="1 row labels for 2 rows"):
        sample_grid(images, columns=2, row_labels=("one",))


def test_a_saved_sheet_is_a_png_and_nothing_else_is_left(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    save_grid(images, tmp_path / "new" / "sheet.png")
    assert Image.open(tmp_path / "new" / "sheet.png").tobytes() == sample_grid(images).tobytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.png"]
    with pytest.raises(ValueError, match=r"sheet\.jpg is no name for a sheet of images"):
        save_grid(images, tmp_path / "sheet.jpg")


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="no images to show"):
        sample_grid(torch.zeros(0, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="columns is 0"):
        sample_grid(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), columns=0)
