"""`gen-dist explore`: what the pictures hold, what is said beside them, and where they are logged."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from mlflow.artifacts import download_artifacts
from mlflow.tracking import MlflowClient
from PIL import Image

from gen_dist.bundle.bundle import Bundle, load_bundle, save_bundle
from gen_dist.capabilities import Decodes
from gen_dist.cli import main
from gen_dist.commands.explore.arithmetic import arithmetic
from gen_dist.commands.explore.interpolate import interpolate
from gen_dist.commands.explore.neighbours import neighbours
from gen_dist.commands.explore.traverse import traverse
from gen_dist.commands.explore.truncation import truncation
from gen_dist.commands.import_ import import_dataset
from gen_dist.data.dataset import open_dataset
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.evaluation.random_features import RandomExtractor
from gen_dist.models.classifier.convnet import ConvNetConfig
from gen_dist.models.flow.realnvp import RealNVPConfig
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.models.table import AnyModelConfig
from gen_dist.models.vae.autoencoder import AutoencoderConfig
from gen_dist.models.vae.vae import VAEConfig
from gen_dist.models.vae.vqvae import VQVAEConfig
from gen_dist.presets import preset
from gen_dist.sampling.animation import HOLD_MILLISECONDS, is_moving, save_picture, there_and_back
from gen_dist.sampling.draw import draw_samples
from gen_dist.sampling.latents import Prior, decode_all, draw_latents, numbered_latents
from gen_dist.tracking.location import store_uri
from gen_dist.tracking.store import RUN_NAME_TAG
from gen_dist.types import DataSpec
from gen_dist.workflows.curve import curve, samples_at
from gen_dist.workflows.families import require
from gen_dist.workflows.latent_arithmetic import class_probabilities, classified_groups
from gen_dist.workflows.latent_pictures import influences

CLASSES = tuple("0123456789")
SPEC = DataSpec(channels=1, height=8, width=8, class_names=CLASSES)
CONFIGS: dict[str, AnyModelConfig] = {
    "vae": VAEConfig(latent_dim=4, hidden=(8,)),
    "gan": DCGANConfig(latent_dim=4, generator_channels=8, critic_channels=8, initial_std=None),
    "biggan": preset("biggan-8").model,
    "flow": RealNVPConfig(hidden=4, num_blocks=0, scales=1),
    "autoencoder": AutoencoderConfig(latent_dim=4, hidden=(8,)),
    "vqvae": VQVAEConfig(hidden=4, residual_hidden=4, num_residual_blocks=1, code_dim=4, num_codes=8),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Untrained models: what the pictures say does not depend on what was learned."""
    folder = tmp_path_factory.mktemp("models")
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        save_bundle(config.build(SPEC), config, SPEC, {"run": f"run-{name}"}, folder / name)
    return {name: str(folder / name) for name in CONFIGS}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data") / "digits"
    import_dataset("digits", str(folder))
    return str(folder)


def frames_of(path: Path) -> tuple[list[bytes], list[int]]:
    with Image.open(path) as picture:
        frames, durations = [], []
        for index in range(getattr(picture, "n_frames", 1)):
            picture.seek(index)
            frames.append(picture.convert("L").tobytes())
            durations.append(picture.info.get("duration", 0))
        return frames, durations


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_has_its_frames_and_holds_where_told(suffix: str, tmp_path: Path) -> None:
    shown = [Image.new("L", (16, 8), 40 * index) for index in range(5)]
    path = tmp_path / f"walk{suffix}"
    save_picture(there_and_back(shown), path, held=(0, 4))
    frames, durations = frames_of(path)
    expected = [shown[index].tobytes() for index in (0, 1, 2, 3, 4, 3, 2, 1)]
    assert frames == expected
    assert [index for index, duration in enumerate(durations) if duration >= HOLD_MILLISECONDS] == [0, 4]


def test_a_file_s_name_says_what_it_holds(tmp_path: Path) -> None:
    assert [is_moving(Path(name)) for name in ("a.png", "a.GIF", "a.webp")] == [False, True, True]
    with pytest.raises(ValueError, match=r"a.jpg is no name for this picture: let it end in .png, or in .gif or .webp"):
        is_moving(Path("a.jpg"))
    with pytest.raises(ValueError, match=r"a.gif is no name for this picture: let it end in .png$"):
        is_moving(Path("a.gif"), may_move=False)
    with pytest.raises(ValueError, match="would be one picture, and there are 2"):
        save_picture([Image.new("L", (1, 1))] * 2, tmp_path / "a.png")


def test_the_same_seed_gives_the_same_bytes(models: Mapping[str, str], digits: str, tmp_path: Path) -> None:
    calls: dict[str, Callable[[Path, int], None]] = {
        "i.png": lambda out, seed: interpolate(models["gan"], seed=seed, out=out),
        "i.gif": lambda out, seed: interpolate(models["gan"], between=(0, 3), steps=4, seed=seed, out=out),
        "t.webp": lambda out, seed: traverse(models["gan"], steps=3, seed=seed, out=out),
        "a.gif": lambda out, seed: arithmetic(models["vae"], a=(0, 1), b=(2,), c=(3,), seed=seed, out=out),
        "n.png": lambda out, seed: neighbours(
            models["gan"], data=digits, num=8, rows=2, extractor="random", device="cpu", seed=seed, out=out
        ),
        "c.png": lambda out, seed: truncation(
            models["gan"], data=digits, temperatures=(0.5, 1.0), num_samples=8, extractor="random", device="cpu",
            seed=seed, out=out,
        ),
    }  # fmt: skip
    for name, call in calls.items():
        outs = [tmp_path / str(number) / name for number in range(3)]
        for out, seed in zip(outs, (1, 1, 2), strict=True):
            call(out, seed)
        first, again, other = (out.read_bytes() for out in outs)
        assert first == again, name
        assert first != other, name


@pytest.mark.parametrize("name", ["vae", "flow", "autoencoder", "vqvae"])
def test_every_encoder_walks_between_images(name: str, models: Mapping[str, str], digits: str, tmp_path: Path) -> None:
    out = tmp_path / "walk.png"
    interpolate(models[name], data=digits, between=(0, 1, 2), steps=3, out=out)
    with Image.open(out) as picture:
        assert picture.width > 2 * picture.height  # 2 rows of 5, and labels


def test_the_path_follows_the_prior(
    models: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Codes are not standard normal."""
    for name, said in (("gan", "spherical paths between 1, 2"), ("vqvae", "linear paths between 1, 2")):
        interpolate(models[name], between=(1, 2), steps=2, out=tmp_path / "walk.png")
        assert said in capsys.readouterr().out.replace("\n", " ")


def test_the_ends_of_a_row_are_the_samples(models: Mapping[str, str], tmp_path: Path) -> None:
    learner = load_bundle(models["gan"]).learner
    interpolate(models["gan"], between=(5, 9), steps=3, out=tmp_path / "walk.gif")
    frames, _ = frames_of(tmp_path / "walk.gif")
    assert len(frames) == 4  # there and back: 0, 1, 2, 1
    images = decode_all(learner, numbered_latents(learner, (5, 9), seed=0), seed=0)
    large = images.repeat_interleave(8, 2).repeat_interleave(8, 3)
    with Image.open(tmp_path / "walk.gif") as picture:
        for index, image in ((0, large[0]), (2, large[1])):
            picture.seek(index)
            cell = picture.convert("L").crop((2, 2, 66, 66))
            assert cell.tobytes() == bytes(image.flatten().tolist())


def test_groups_hold_only_their_class(models: Mapping[str, str]) -> None:
    torch.manual_seed(3)
    config = ConvNetConfig()
    classifier = config.build(SPEC).eval()
    bundle = Bundle(classifier, load_bundle(models["vae"]).description)
    learner = load_bundle(models["flow"]).learner
    drawn = decode_all(learner, draw_latents(learner, 128, seed=0), seed=0)
    called = class_probabilities(bundle, drawn).argmax(1)
    common = [CLASSES[label] for label in called.bincount(minlength=10).argsort(descending=True)[:2].tolist()]
    names = [common[0], common[1], common[0]]
    groups = classified_groups(learner, bundle, names, each=3, pool=128, seed=0)
    for name, group in zip(names, groups, strict=True):
        again = class_probabilities(bundle, decode_all(learner, group.latents, seed=0)).argmax(1)
        assert again.tolist() == [CLASSES.index(name)] * 3
        assert group.named == int((called == CLASSES.index(name)).sum())
        assert torch.equal(group.latents, numbered_latents(learner, group.numbers, seed=0))
    with pytest.raises(ValueError, match="there is no class 'ten': the classes are 0, 1"):
        classified_groups(learner, bundle, ["ten"] * 3, each=1, pool=10, seed=0)
    with pytest.raises(ValueError, match=r"samples '\d', and 129 are needed: raise --pool"):
        classified_groups(learner, bundle, names, each=129, pool=130, seed=0)


def test_the_most_influential_dimensions_come_first(models: Mapping[str, str]) -> None:
    learner = load_bundle(models["vae"]).learner
    assert isinstance(learner, Decodes)
    prior = Prior(torch.zeros(4).double(), torch.ones(4).double(), standard_normal=True)
    latents = draw_latents(learner, 3, seed=0)
    ranked = influences(learner, latents, prior, (), 4)
    assert sorted(found.dimension for found in ranked) == [0, 1, 2, 3]
    assert [found.change for found in ranked] == sorted((found.change for found in ranked), reverse=True)
    named = influences(learner, latents, prior, (2, 0), 4)
    assert [found.dimension for found in named] == [2, 0]
    assert all(found in ranked for found in named)
    with pytest.raises(ValueError, match="there is no latent dimension 4: this model's are 0 to 3"):
        influences(learner, latents, prior, (4,), 1)


def test_a_curve_without_randomness_loses_all_variety(models: Mapping[str, str], digits: str) -> None:
    """At temperature 1 the curve is the evaluation itself; near 0 all samples are one."""
    dataset = open_dataset(digits)
    evaluator = Evaluator(dataset, RandomExtractor(dataset.spec), num_samples=40, num_scored=0)
    learner = load_bundle(models["gan"]).learner
    told: list[float] = []
    points = curve(learner, evaluator, "temperature", (1e-9, 1.0), num_samples=40, seed=3, report=told.append)
    record = evaluator.evaluate(learner, ema=False, num_samples=40, seed=3)
    assert points[1].frechet_distance == record.metrics["frechet_distance"]
    assert (points[1].precision, points[1].recall) == (record.metrics["precision"], record.metrics["recall"])
    assert points[0].recall == 0.0
    assert told == [0.5, 1.0]
    with pytest.raises(ValueError, match="temperature is 0"):
        curve(learner, evaluator, "temperature", (0.0,), num_samples=40, seed=3)


def test_a_threshold_of_infinity_is_the_model_as_it_is(models: Mapping[str, str], digits: str, tmp_path: Path) -> None:
    learner = load_bundle(models["biggan"]).learner
    whole, cut = (samples_at(learner, "threshold", value, 8, seed=0) for value in (math.inf, 0.1))
    assert torch.equal(whole, draw_samples(learner, 8, seed=0))
    assert not torch.equal(whole, cut)
    out, options = tmp_path / "curve.png", {"data": digits, "num_samples": 8, "extractor": "random", "device": "cpu"}
    truncation(models["biggan"], thresholds=(0.1, math.inf), out=out, **options)  # type: ignore[arg-type]
    with Image.open(out) as picture:
        assert picture.height > 300  # the chart, and two rows
    with pytest.raises(ValueError, match="can't truncate its latents: it lacks 'truncates'"):
        truncation(models["gan"], thresholds=(0.1,), out=out, **options)  # type: ignore[arg-type]


def test_who_lacks_what_is_told_who_has_it(models: Mapping[str, str], tmp_path: Path) -> None:
    learner = load_bundle(models["gan"]).learner
    with pytest.raises(ValueError, match=r"can't walk between images: it lacks 'encodes' \(it samples, decodes\)"):
        interpolate(models["gan"], data="digits", out=tmp_path / "walk.png")
    with pytest.raises(ValueError, match=r"families that can: .*pixelcnn"):
        require(learner, "finish", "completes")
    require(learner, "draw", "samples", "decodes")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "say what A, B and C are"),
        ({"classes": ("1", "2", "3"), "a": (1,)}, "say what A, B and C are"),
        ({"a": (1,), "b": (2,)}, "say what A, B and C are"),
        ({"a": (1,), "b": (2,), "c": (3,), "noise": -1.0}, "noise is -1.0"),
    ],
)
def test_wrong_options_are_refused(
    options: dict[str, object], said: str, models: Mapping[str, str], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said):
        arithmetic(models["vae"], out=tmp_path / "sum.png", **options)  # type: ignore[arg-type]


def test_a_picture_goes_to_the_run_that_trained_the_model(
    models: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    interpolate(models["gan"], steps=2, between=(0, 1), out=Path("first.png"), log=True)
    said = " ".join(capsys.readouterr().out.split())
    assert "logged as explore/first.png of run explore-" in said
    assert "a new one" in said
    interpolate(models["gan"], steps=3, between=(0, 1), out=Path("second.gif"), log=True)
    assert "a new one" not in capsys.readouterr().out
    client = MlflowClient(store_uri())
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert logged(client, run.info.run_id) == ["first.json", "first.png", "second.gif", "second.json"]
    trained = client.create_run("0", tags={RUN_NAME_TAG: "run-gan"})
    interpolate(models["gan"], steps=2, between=(0, 1), out=Path("third.png"), log=True)
    assert "logged as explore/third.png of run" in " ".join(capsys.readouterr().out.split())
    assert logged(client, trained.info.run_id) == ["third.json", "third.png"]
    uri = f"runs:/{trained.info.run_id}/explore"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri())
    copied = Path(download_artifacts(artifact_uri=uri, dst_path=str(tmp_path / "copied")))
    assert (copied / "third.png").read_bytes() == Path("third.png").read_bytes()
    assert json.loads((copied / "third.json").read_text())["points"] == [0, 1]
    assert client.get_run(trained.info.run_id).info.status == "RUNNING"  # whose run it is, ends it


def logged(client: MlflowClient, run_id: str) -> list[str]:
    return sorted(Path(file.path).name for file in client.list_artifacts(run_id, "explore"))


def test_the_group_s_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "--help"]) == 0
    said = capsys.readouterr().out
    for part in ("interpolate", "arithmetic", "traverse", "manifold", "neighbours", "truncation", "examples:"):
        assert part in said
