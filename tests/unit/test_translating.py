"""Learners that translate: how they are judged, shown, and refused."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from gen_dist.bundle.bundle import save_bundle
from gen_dist.commands.explore.translate import translate
from gen_dist.commands.sample import sample
from gen_dist.data.dataset import Dataset
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.pairs import pair_rule
from gen_dist.data.sources.digits import DigitsSource
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.evaluation.fidelity import LARGEST_PSNR
from gen_dist.evaluation.protocol import EvaluationProtocol, EvaluationRecord, same_protocol
from gen_dist.evaluation.random_features import RandomExtractor
from gen_dist.learner import Learner, Phase, Player
from gen_dist.models.gan.pix2pix import Pix2PixConfig
from gen_dist.sampling.grids import PADDING
from gen_dist.sampling.translate import translation_sheet, translations, untranslated
from gen_dist.types import DataSpec, ImageBatch, SourceSpec
from gen_dist.workflows.competing_presets import can_be_judged, suitable_presets
from gen_dist.workflows.evaluate import record_view
from gen_dist.workflows.pictures import sample_sheet

SMALL = Pix2PixConfig(patch_size=16, generator_channels=4, critic_channels=4)


class Rule(Learner):
    """Translates by a function of the sources."""

    def __init__(self, rule: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.rule = rule

    @property
    def players(self) -> Mapping[str, Player]:
        return {}

    @property
    def phases(self) -> Sequence[Phase]:
        return ()

    def translate(self, sources: Tensor) -> Tensor:
        return self.rule(sources)


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Digits, to be made from the same digits of 4 x 4."""
    options = ImportOptions(pairs=pair_rule("low-resolution:2"))
    return import_source(DigitsSource(), tmp_path_factory.mktemp("data") / "halves", options).dataset


@pytest.fixture(scope="module")
def evaluator(halves: Dataset) -> Evaluator:
    return Evaluator(halves, RandomExtractor(halves.spec), num_samples=200)


def looked_up(dataset: Dataset) -> Callable[[Tensor], Tensor]:
    """Knows the target of every source of the test split by heart."""
    test = dataset.read("test")
    assert test.sources is not None
    targets = {source.numpy().tobytes(): image for source, image in zip(test.sources, test.images, strict=True)}
    assert len(targets) == len(test), "no two sources are the same"
    return lambda sources: torch.stack([targets[source.numpy().tobytes()] for source in sources])


def test_a_translator_that_returns_its_targets_is_perfect(evaluator: Evaluator, halves: Dataset) -> None:
    record = evaluator.evaluate(Rule(looked_up(halves)), ema=False)
    metrics, anchors = record.metrics, record.anchors
    assert metrics["l1"] == 0.0
    assert metrics["ssim"] == pytest.approx(1.0)
    assert metrics["psnr"] == pytest.approx(LARGEST_PSNR)
    assert metrics["precision"] == 1.0  # its images are the reference's own
    assert metrics["frechet_distance"] < anchors["frechet_distance_real"]
    assert record.protocol.num_translated == record.protocol.num_samples == 200
    assert EvaluationRecord.from_json(record.to_json()) == record
    assert [note for note in record.notes if "own sources" in note]


def test_a_translator_that_does_nothing_is_as_good_as_its_anchor_and_is_told(
    evaluator: Evaluator, halves: Dataset
) -> None:
    record = evaluator.evaluate(Rule(lambda sources: untranslated(sources, halves.spec)), ema=False)
    for name in ("l1", "psnr", "ssim", "frechet_distance", "precision"):
        assert record.metrics[name] == record.anchors[f"{name}_untranslated"]
    assert "no closer to the targets than the sources themselves" in record.notes
    assert record.metrics["l1"] > 5.0
    table = record_view(record).renderables[0]
    assert [column.header for column in table.columns][-1] == "sources"


def test_all_sources_are_translated_when_there_are_fewer_than_asked_for(halves: Dataset) -> None:
    evaluator = Evaluator(halves, RandomExtractor(halves.spec), split="validation")
    record = evaluator.evaluate(Rule(lambda sources: untranslated(sources, halves.spec)), ema=False)
    assert record.protocol.num_translated == record.protocol.num_samples == halves.num_images("validation") < 1000


def test_pairs_are_compared_only_where_there_are_pairs(halves: Dataset) -> None:
    spec = halves.spec
    assert spec.source is not None
    unpaired = dataclasses.replace(spec, source=dataclasses.replace(spec.source, paired=False))
    loose = Dataset(halves._storage, dataclasses.replace(halves.manifest, spec=unpaired))
    record = Evaluator(loose, RandomExtractor(spec), num_samples=100).evaluate(
        Rule(lambda sources: untranslated(sources, spec)), ema=False
    )
    assert not {"l1", "psnr", "ssim"} & set(record.metrics)
    assert "frechet_distance_untranslated" in record.anchors


def test_translations_do_not_compare_with_samples_and_old_records_still_compare() -> None:
    protocol = EvaluationProtocol(
        extractor="random", extractor_digest="e", dataset_digest="d", split="test", num_reference=9, num_samples=5,
        num_scored=0, ema=False,
    )  # fmt: skip
    translated = dataclasses.replace(protocol, num_translated=5)
    first, second = (EvaluationRecord(protocol=p, metrics={}, anchors={}) for p in (protocol, translated))
    assert not same_protocol(first, second)
    assert "num_translated" not in protocol.comparable()
    old = first.to_json().replace('"num_translated": 0, ', "")
    assert "num_translated" not in old
    assert EvaluationRecord.from_json(old) == first


def test_what_can_not_be_translated_is_refused(evaluator: Evaluator, tmp_path: Path) -> None:
    digits = import_source(DigitsSource(), tmp_path / "digits", ImportOptions(limit=300)).dataset
    plain = Evaluator(digits, RandomExtractor(digits.spec), num_samples=20)
    with pytest.raises(ValueError, match="has no sources to translate"):
        plain.evaluate(Rule(lambda sources: sources), ema=False)
    with pytest.raises(ValueError, match=r"images of \(1, 4, 4\).*has \(1, 8, 8\)"):
        evaluator.evaluate(Rule(lambda sources: sources), ema=False)
    with pytest.raises(ValueError, match="no images to translate"):
        translations(Rule(lambda sources: sources), torch.zeros(0, 1, 4, 4, dtype=torch.uint8), seed=0)


def test_translators_are_compared_on_data_that_they_suit(halves: Dataset) -> None:
    assert can_be_judged(Rule(lambda sources: sources))
    loose = SourceSpec(channels=1, height=8, width=8, paired=False)
    specs = [dataclasses.replace(halves.spec, source=source) for source in (halves.spec.source, loose, None)]
    # The halves are smaller than their images, which a cyclegan can't undo; unpaired sources are nothing for pix2pix.
    suiting = [[name for name in suitable_presets(spec) if name in ("pix2pix-8", "cyclegan-8")] for spec in specs]
    assert suiting == [["pix2pix-8"], ["cyclegan-8"], []]


def test_untranslated_sources_take_the_shape_of_the_images() -> None:
    colour = torch.tensor([255, 0, 0], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 2, 2)
    grey = untranslated(colour, DataSpec(channels=1, height=4, width=4))
    assert torch.equal(grey, torch.full((1, 1, 4, 4), 76, dtype=torch.uint8))  # 0.299 x 255
    ramp = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    assert torch.equal(untranslated(ramp, DataSpec(channels=3, height=4, width=4)), ramp.expand(1, 3, 4, 4))
    assert untranslated(ramp, DataSpec(channels=1, height=8, width=12)).shape == (1, 1, 8, 12)


def test_a_sheet_shows_source_translation_and_target() -> None:
    sources = torch.tensor([10, 20], dtype=torch.uint8)[:, None, None, None].expand(2, 1, 2, 2)
    images, targets = (torch.full((2, 1, 4, 4), value, dtype=torch.uint8) for value in (30, 40))
    pairs = ImageBatch(images=targets, sources=sources)
    for paired, expected in ((True, [10, 30, 40, 20, 30, 40]), (False, [10, 30, 20, 30])):
        spec = DataSpec(channels=1, height=4, width=4, source=SourceSpec(channels=1, height=2, width=2, paired=paired))
        sheet, together = translation_sheet(images, pairs, spec)
        assert sheet.shape == (2 * together, 1, 4, 4)
        assert sheet[:, 0, 0, 0].tolist() == sheet[:, 0, 3, 3].tolist() == expected


def test_noise_is_a_function_of_the_seed(halves: Dataset) -> None:
    sources = halves.read("test", limit=70).sources
    learner = SMALL.build(halves.spec)
    first = translations(learner, sources, seed=1)
    torch.randn(5)
    assert torch.equal(translations(learner, sources, seed=1), first)
    assert not torch.equal(translations(learner, sources, seed=2), first)
    assert learner.training, "its mode is as it was"


def test_a_run_and_a_command_show_translations(
    halves: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    learner = SMALL.build(halves.spec)
    picture = sample_sheet(learner, halves, "test")
    assert picture is not None
    assert picture.image.width == 12 * (64 + PADDING) + PADDING  # four triples in a row
    save_bundle(learner, SMALL, halves.spec, {}, tmp_path / "bundle")
    translate(str(tmp_path / "bundle"), data=halves.uri, num=5, out=tmp_path / "sheet.png")
    assert "5 sources beside their translations" in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * (64 + PADDING) + PADDING, 5 * (64 + PADDING) + PADDING)
    with pytest.raises(ValueError, match=r"makes images from other images.*gen-dist explore translate"):
        sample(str(tmp_path / "bundle"))
