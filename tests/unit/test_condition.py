"""`gen-dist sample --text` and `--label`: what a person asks for reaches the model, or is refused with a way out."""

from pathlib import Path

import pytest
import torch

from gen_dist import cli
from gen_dist.bundle.bundle import load_bundle, save_bundle
from gen_dist.distributed.seeding import seeded
from gen_dist.models.autoregressive.gated_pixelcnn import GatedPixelCNNConfig
from gen_dist.models.classifier.matcher import MatcherConfig
from gen_dist.models.composed.text_to_image import TextToImageConfig
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.models.table import AnyModelConfig
from gen_dist.sampling.condition import caption_of, condition_of, label_of
from gen_dist.types import DataSpec

SPEC = DataSpec(channels=1, height=8, width=8, class_names=("cat", "1", "dog"), caption_bytes=10)
MATCHER = MatcherConfig(channels=(4,), character_dim=4, text_channels=(4,), recurrent_dim=4, embedding_dim=4)
MODELS: dict[str, AnyModelConfig] = {
    "text": TextToImageConfig(
        foundation=MATCHER, latent_dim=3, text_dim=3, generator_channels=4, critic_channels=4, initial_std=None
    ),
    "label": GatedPixelCNNConfig(class_conditional=True, features=8, num_blocks=1, output_features=8),
    "neither": DCGANConfig(generator_channels=4, critic_channels=4, latent_dim=3),
    "no label": GatedPixelCNNConfig(features=8, num_blocks=1, output_features=8),
    "no images": MATCHER,
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("bundles")
    with seeded(0):
        for name, config in MODELS.items():
            save_bundle(config.build(SPEC), config, SPEC, {}, place / name)
    return {name: place / name for name in MODELS}


def test_a_text_is_what_every_image_is_drawn_for(bundles: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "images"
    assert cli.main(["sample", str(bundles["text"]), "-n", "3", "--text", "red cat", "--folder", str(out)]) == 0
    assert len(list(out.iterdir())) == 3
    model = load_bundle(bundles["text"])
    asked = condition_of(model.learner, model.spec, 3, text="red cat")
    assert asked is not None
    assert [bytes(row.tolist()) for row in asked] == [b"red cat\0\0\0"] * 3
    other = condition_of(model.learner, model.spec, 3, text="a dog")
    drawn, again, others = (model.sample(3, seed=1, condition=condition) for condition in (asked, asked, other))
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn, others)


def test_a_label_is_a_name_before_it_is_a_number(bundles: dict[str, Path], tmp_path: Path) -> None:
    assert [label_of(text, SPEC) for text in ("cat", "dog", "1", "0", "2")] == [0, 2, 1, 0, 2]
    digits = DataSpec(channels=1, height=8, width=8, class_names=("9", "8", "7"))
    assert [label_of(text, digits) for text in ("9", "7", "1")] == [0, 2, 1]
    assert (
        cli.main(["sample", str(bundles["label"]), "-n", "2", "--label", "dog", "--out", str(tmp_path / "a.png")]) == 0
    )
    model = load_bundle(bundles["label"])
    asked = condition_of(model.learner, model.spec, 4, label="dog")
    assert asked is not None
    assert asked.tolist() == [2, 2, 2, 2]
    assert condition_of(model.learner, model.spec, 4) is None


def test_bytes_and_not_characters_must_fit() -> None:
    assert caption_of("aeiou12345", SPEC).tolist() == [list(b"aeiou12345")]
    with pytest.raises(ValueError, match=r"text has 12 bytes in UTF-8, and the longest caption .* has 10"):
        caption_of("éééééé", SPEC)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("text", ["--label", "cat"], "TextToImage takes no label; it draws for a text"),
        ("label", ["--text", "a cat"], "GatedPixelCNN takes no text; it draws for a label"),
        ("neither", ["--text", "a cat"], "UnconditionalGAN takes no text; it draws without a condition: leave it out"),
        ("no label", ["--label", "cat"], "GatedPixelCNN takes no label; it draws without a condition"),
        ("no images", ["--text", "a cat"], "Matcher can't draw images; what it can do: encodes, matches"),
        ("text", ["--text", "a cat", "--label", "cat"], "give one of them"),
        ("text", ["--text", " "], "say what the images shall show"),
        ("text", ["--text", "a very red cat"], "say it in fewer words"),
        ("label", ["--label", "horse"], r"give a class's name (cat, 1, dog) or its number (0 to 2)"),
        ("label", ["--label", "3"], "or its number (0 to 2)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    bundles: dict[str, Path], capsys: pytest.CaptureFixture[str], model: str, options: list[str], message: str
) -> None:
    assert cli.main(["sample", str(bundles[model]), "-n", "2", *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
