"""The registry on the default store: an sqlite file and a folder, without a server."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient
from mlflow_server import empty_database
from safetensors.torch import load_file, save_file

from gen_dist.bundle.bundle import Bundle, BundleError, load_bundle, save_bundle
from gen_dist.commands import entry
from gen_dist.commands import registry as commands
from gen_dist.models.boltzmann.rbm import RBMConfig
from gen_dist.models.gan.pix2pix import Pix2PixConfig
from gen_dist.tracking import registry
from gen_dist.tracking.aliases import get_version, list_versions, promote, resolve_alias, rollback
from gen_dist.tracking.challenge import Judgement
from gen_dist.tracking.location import store_uri
from gen_dist.tracking.registry import Registration, load_registered, register
from gen_dist.tracking.registry_store import RegistryError
from gen_dist.types import DataSpec, SourceSpec

PROTOCOL = '{"split": "test"}'
NAME = "digits"


@pytest.fixture(autouse=True)
def store(tmp_path: Path) -> None:
    """The default store of the working folder, which is the test's own."""
    (tmp_path / "mlflow.db").write_bytes(empty_database())


def bundle(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    config = RBMConfig(num_hidden=6, sample_steps=20)
    spec = DataSpec(channels=1, height=8, width=8)
    directory = folder / f"bundle-{seed}"
    save_bundle(config.build(spec), config, spec, {"seed": seed}, directory)
    return directory


def enter(folder: Path, seed: int, distances: Sequence[float], protocol: str = PROTOCOL) -> Registration:
    judgement = Judgement(protocol=protocol, frechet_distances=tuple(distances))
    return register(bundle(folder, seed), NAME, judgement=judgement, record='{"metrics": {}}')


def test_a_version_gives_the_same_samples_by_every_way(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"picture")
    directory = bundle(tmp_path, 1)
    registration = register(
        directory,
        NAME,
        judgement=Judgement(protocol=PROTOCOL, frechet_distances=(2.0, 2.1)),
        record='{"metrics": {"frechet_distance": 2.05}}',
        sample_sheet=sheet,
        tags={"dataset": "digits"},
    )
    assert (registration.version, registration.alias, registration.uri) == (1, "champion", "models:/digits/1")
    expected = load_bundle(directory).sample(5, seed=3)
    assert len(torch.unique(expected)) > 1

    by_alias = load_registered("models:/digits@champion")
    assert torch.equal(by_alias.sample(5, seed=3), expected)
    assert torch.equal(load_registered("models:/digits/1").sample(5, seed=3), expected)
    assert not torch.equal(by_alias.sample(5, seed=4), expected)
    assert by_alias.provenance == {"seed": 1}

    model = mlflow.pyfunc.load_model("models:/digits@champion")
    images = model.predict(None, params={"n": 5, "seed": 3})
    assert images.dtype == np.uint8
    assert np.array_equal(images, expected.numpy())
    assert model.predict(None).shape == (1, 1, 8, 8)
    assert model.predict(np.zeros((2, 2)), params={"n": 2}).shape == (2, 1, 8, 8)
    assert model.metadata.signature.params.to_dict()[0]["name"] == "n"

    files = Path(mlflow.artifacts.download_artifacts("models:/digits/1", dst_path=str(tmp_path / "download")))
    assert (files / "artifacts/samples.png").read_bytes() == b"picture"
    assert json.loads((files / "artifacts/evaluation.json").read_text())["metrics"] == {"frechet_distance": 2.05}
    assert not [path for path in files.rglob("*") if path.suffix in (".pkl", ".pt", ".pth", ".bin")]
    version = get_version(NAME, 1)
    assert version.tags["dataset"] == "digits"
    assert version.tags["gen_dist.family"] == "rbm"
    assert version.tags["gen_dist.image"] == "1 x 8 x 8"
    assert version.tags["gen_dist.reason"].startswith("the first version")
    assert "gen_dist.version.torch" in version.tags


def test_a_translator_is_registered_and_translates(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = Pix2PixConfig(patch_size=16, generator_channels=4, critic_channels=4)
    spec = DataSpec(channels=1, height=8, width=8, source=SourceSpec(channels=3, height=8, width=8))
    directory = tmp_path / "translator"
    save_bundle(config.build(spec), config, spec, {}, directory)
    judgement = Judgement(protocol=PROTOCOL, frechet_distances=(2.0,))
    assert register(directory, NAME, judgement=judgement, record='{"metrics": {}}').alias == "champion"

    sources = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    expected = load_bundle(directory).translate(sources, seed=5)
    assert len(torch.unique(expected)) > 1
    assert torch.equal(load_registered("models:/digits@champion").translate(sources, seed=5), expected)
    model = mlflow.pyfunc.load_model("models:/digits@champion")
    assert np.array_equal(model.predict(sources.numpy(), params={"seed": 5}), expected.numpy())
    with pytest.raises(mlflow.exceptions.MlflowException, match="shape"):
        model.predict(sources[:, :1].numpy())
    assert get_version(NAME, 1).tags["gen_dist.verified"] == "8 images equal"


def test_only_a_clear_win_moves_the_champion(tmp_path: Path) -> None:
    assert enter(tmp_path, 1, (3.0, 3.1)).alias == "champion"
    within = enter(tmp_path, 2, (2.9, 3.15))
    assert (within.alias, within.version) == ("challenger", 2)
    assert "within seed noise" in get_version(NAME, 2).tags["gen_dist.reason"]
    assert get_version(NAME, 1).aliases == ("champion",)
    other = enter(tmp_path, 3, (0.1, 0.1), protocol='{"split": "validation"}')
    assert other.alias == "challenger"
    assert "split is 'validation' and was 'test'" in other.reason
    assert resolve_alias(NAME, "challenger") == 3
    winner = enter(tmp_path, 4, (1.0, 1.1))
    assert winner.alias == "champion"
    assert resolve_alias(NAME, "champion") == 4
    assert [version.version for version in list_versions()] == [4, 3, 2, 1]

    again = enter_again(tmp_path, 4)
    assert (again.version, again.alias) == (4, "champion")  # the same bundle makes no second version
    assert again.reason == winner.reason


def enter_again(folder: Path, seed: int) -> Registration:
    judgement = Judgement(protocol=PROTOCOL, frechet_distances=(1.0, 1.1))
    return register(folder / f"bundle-{seed}", NAME, judgement=judgement, record="{}")


def test_a_champion_of_an_old_protocol_is_judged_again(tmp_path: Path) -> None:
    enter(tmp_path, 1, (3.0, 3.1), protocol='{"split": "validation"}')
    seen: list[str] = []

    def rejudge(champion: Bundle) -> Judgement:
        seen.append(champion.digest)
        return Judgement(protocol=PROTOCOL, frechet_distances=(5.0, 5.1))

    registration = register(
        bundle(tmp_path, 2),
        NAME,
        judgement=Judgement(protocol=PROTOCOL, frechet_distances=(4.0, 4.1)),
        record="{}",
        rejudge=rejudge,
    )
    assert seen == [load_bundle(tmp_path / "bundle-1").digest]
    assert registration.alias == "champion"
    assert registration.reason.endswith("(version 1 was judged again)")


def test_a_version_that_draws_something_else_gets_no_alias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(tmp_path, 1, (3.0, 3.1))
    monkeypatch.setattr(registry, "predict_registered", lambda *_: np.zeros((8, 1, 8, 8), np.uint8))
    with pytest.raises(RegistryError, match=r"does not make the images.*no alias was moved"):
        enter(tmp_path, 2, (1.0, 1.1))
    assert get_version(NAME, 1).aliases == ("champion",)
    assert get_version(NAME, 2).aliases == ()
    with pytest.raises(RegistryError, match="was never proven"):
        promote(NAME, 2)


def test_an_edited_or_exchanged_bundle_is_refused(tmp_path: Path) -> None:
    enter(tmp_path, 1, (3.0, 3.1))
    (weights,) = (tmp_path / "mlartifacts").rglob("weights.safetensors")
    original = weights.read_bytes()
    tensors = load_file(weights)
    save_file({name: value + 1 for name, value in tensors.items()}, weights)
    with pytest.raises(BundleError, match=r"weights.safetensors was cut short or edited"):
        load_registered("models:/digits/1")
    weights.write_bytes(original)
    other = bundle(tmp_path, 2)
    for name in ("weights.safetensors", "bundle.json"):
        (weights.parent / name).write_bytes((other / name).read_bytes())
    with pytest.raises(RegistryError, match="are not the registered ones"):
        load_registered("models:/digits/1")


def test_a_broken_bundle_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    directory = bundle(tmp_path, 1)
    (directory / "weights.safetensors").write_bytes(b"short")
    with pytest.raises(BundleError):
        register(directory, NAME, judgement=Judgement(protocol="p", frechet_distances=(1.0,)), record="{}")
    assert list_versions() == []


def test_promotion_and_rollback_follow_the_line_of_champions(tmp_path: Path) -> None:
    enter(tmp_path, 1, (3.0, 3.1))
    enter(tmp_path, 2, (3.0, 3.1))
    enter(tmp_path, 3, (1.0, 1.1))
    promote(NAME, 2, reason="nicer")
    assert get_version(NAME, 2).aliases == ("champion",)  # and challenger no more
    assert get_version(NAME, 2).tags["gen_dist.reason"] == "promoted nicer"
    MlflowClient(store_uri()).set_registered_model_alias(NAME, "champion", "1")  # by other means
    promote(NAME, 3)
    assert rollback(NAME) == 1
    assert rollback(NAME) == 2
    MlflowClient(store_uri()).delete_model_version(NAME, "3")
    assert rollback(NAME) == 1
    assert get_version(NAME, 1).tags["gen_dist.reason"] == "rolled back from version 2"
    with pytest.raises(RegistryError, match="version 1 is the first champion"):
        rollback(NAME)


@pytest.mark.parametrize("uri", ["digits@champion", "models:/digits", "models:/digits/latest", "models:/a/b/1"])
def test_what_is_no_model_uri_is_explained(uri: str) -> None:
    with pytest.raises(ValueError, match="write models:/NAME@champion or models:/NAME/3"):
        load_registered(uri)


@pytest.mark.parametrize("uri", ["models:/digits@champion", "models:/digits/7"])
def test_a_missing_version_is_named(uri: str) -> None:
    with pytest.raises(RegistryError, match=f"the registry at sqlite:///{Path.cwd()}/mlflow.db: .*digits"):
        load_registered(uri)


def test_an_unreachable_registry_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match=r"the registry at http://127.0.0.1:9: .*refused") as caught:
        load_registered("models:/digits@champion", tracking_uri="http://me:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)


def test_a_model_of_somebody_else_is_refused(tmp_path: Path) -> None:
    client = MlflowClient(store_uri())
    client.create_registered_model(NAME)
    client.create_model_version(NAME, source=str(tmp_path))
    with pytest.raises(RegistryError, match="was not registered by gen_dist"):
        load_registered("models:/digits/1")


def test_the_users_own_store_is_left_alone(tmp_path: Path) -> None:
    before = mlflow.get_tracking_uri()
    enter(tmp_path, 1, (3.0,))
    assert mlflow.get_tracking_uri() == before
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_the_commands_say_what_they_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(commands.list_models, []) == 0
    assert "no model is registered yet" in capsys.readouterr().out
    enter(tmp_path, 1, (3.0, 3.1))
    enter(tmp_path, 2, (3.0, 3.2))
    assert entry.run(commands.list_models, [NAME]) == 0
    table = capsys.readouterr().out
    assert "@champion" in table
    assert "@challenger" in table
    assert entry.run(commands.show, ["models:/digits@champion"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("models:/digits/1\n")
    assert "[3.0, 3.1]" in shown
    assert entry.run(commands.promote, [NAME, "2", "--reason", "by eye"]) == 0
    assert entry.run(commands.rollback, [NAME]) == 0
    assert capsys.readouterr().out == (
        "models:/digits@champion is version 2 now\nmodels:/digits@champion is version 1 again\n"
    )
    assert entry.run(commands.show, ["models:/digits/9"]) == entry.USER_ERROR
    assert entry.run(commands.list_models, ["nothing"]) == entry.USER_ERROR
    assert "nothing" in capsys.readouterr().err
