"""Nearest training images: copies are found, and real images are near-copies as often as they should be."""

import math

import numpy as np
import pytest
import torch

from gen_dist.commands.import_ import import_dataset
from gen_dist.data.dataset import Dataset, open_dataset
from gen_dist.evaluation.random_features import RandomExtractor
from gen_dist.sampling import neighbours
from gen_dist.sampling.neighbours import near_copies, near_copy_distance, nearest
from gen_dist.workflows.copies import LEAST_BELOW, copies_sheet, copies_view, copy_report, verdict


def images(seed: int, num: int, size: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num, 1, size, size), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_blocks_change_nothing(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, references = (images(seed, num).flatten(1).to(dtype) for seed, num in ((0, 23), (1, 50)))
    distances = (queries[:, None].double() - references.double()).norm(dim=2)
    expected = distances.sort(dim=1)
    for rows in (1, 7, 100):
        monkeypatch.setattr(neighbours, "QUERIES_PER_BLOCK", rows)
        monkeypatch.setattr(neighbours, "REFERENCES_PER_BLOCK", rows + 1)
        told: list[float] = []
        found = nearest(queries, references, 3, report=told.append)
        assert torch.equal(found.indices, expected.indices[:, :3])
        assert torch.allclose(found.distances, expected.values[:, :3], rtol=1e-12, atol=0)  # sums of 16 float64
        assert told[-1] == 1.0


def test_a_copy_is_at_distance_zero_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    references = 1e4 + torch.rand(200, 50, generator=generator)  # a matrix product would leave rounding errors here
    found = nearest(references[[17, 140]], references)
    assert found.indices[:, 0].tolist() == [17, 140]
    assert found.distances[:, 0].tolist() == [0.0, 0.0]


def test_more_neighbours_than_images_are_refused() -> None:
    for num in (0, 3):
        with pytest.raises(ValueError, match=f"{num} neighbours among 2 images"):
            nearest(torch.zeros(1, 2), torch.zeros(2, 2), num)


def test_the_threshold_lets_the_nominal_share_through() -> None:
    held_out = torch.arange(1.0, 101.0, dtype=torch.float64)[torch.randperm(100)]
    threshold = near_copy_distance(held_out, 0.1)
    assert near_copies(held_out, threshold).double().mean() == 0.1
    assert near_copies(torch.zeros(1, dtype=torch.float64), near_copy_distance(torch.zeros(9).double(), 0.1)).all()
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match="it must be above 0 and below 1"):
            near_copy_distance(held_out, share)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Images from a few smooth patterns with noise, so that nearest distances vary; 2 of 3 are held out."""
    folder = tmp_path_factory.mktemp("neighbours")
    random = np.random.default_rng(0)
    values = random.normal(size=(3000, 3)) @ random.normal(0, 50, size=(3, 16)) + 128
    pixels = values.clip(0, 255).astype(np.uint8).reshape(-1, 4, 4, 1)
    np.savez(folder / "images.npz", images=pixels)
    import_dataset(str(folder / "images.npz"), str(folder / "data"), validation=0.33, test=0.33)
    return open_dataset(folder / "data")


def test_real_images_are_near_copies_about_as_often_as_said_and_copies_are_all_found(dataset: Dataset) -> None:
    train = dataset.read("train").images
    fresh = torch.cat([dataset.read(split).images for split in ("validation", "test")])
    nominal = 0.05
    copied = copy_report(train[:40], dataset, RandomExtractor(dataset.spec), nominal=nominal)
    for space in ("pixels", "features"):
        figures = copied.figures[space]
        assert figures.samples == 1.0
        # The threshold and the other half, of about 1,000 images each: five standard errors.
        num = copied.num_real
        assert abs(num - len(fresh) / 2) <= 1
        assert abs(figures.real - nominal) < 5 * math.sqrt(2 * nominal * (1 - nominal) / num)
    assert copied.pixels.indices[:, 0].tolist() == list(range(40))
    assert copied.pixels.distances[:, 0].max() == 0.0
    assert copied.figures["pixels"].median_samples == 0.0
    assert "look at the picture for copies" in verdict(copied)
    honest = copy_report(images(5, 40), dataset, RandomExtractor(dataset.spec), nominal=nominal)  # noise is far away
    assert honest.figures["pixels"].samples == 0.0
    assert "no sign of copying" in verdict(honest)
    assert copies_view(honest).row_count == 5


def test_the_nominal_share_rests_on_enough_images(dataset: Dataset) -> None:
    report = copy_report(images(5, 4), dataset, RandomExtractor(dataset.spec))
    assert report.nominal == pytest.approx(max(0.01, LEAST_BELOW / report.num_threshold))


def test_the_sheet_begins_with_the_copy(dataset: Dataset) -> None:
    """The only sample that is a training image stands first, beside itself."""
    train = dataset.read("train").images
    samples = torch.cat([images(6, 20), train[7:8]])
    report = copy_report(samples, dataset, RandomExtractor(dataset.spec))
    sheet = copies_sheet(report, dataset, rows=1).frames[0]
    body = torch.from_numpy(np.asarray(sheet).copy())
    scale = 64 // 4
    pattern = train[7, 0].repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    windows = body.unfold(0, 64, 1).unfold(1, 64, 1)
    assert int((windows == pattern).flatten(2).all(2).sum()) == 3  # the sample, and its nearest in both spaces


def test_samples_of_another_shape_are_refused(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match=r"images of \(1, 5, 5\).*the data's are \(1, 4, 4\)"):
        copy_report(images(0, 2, size=5), dataset, RandomExtractor(dataset.spec))
