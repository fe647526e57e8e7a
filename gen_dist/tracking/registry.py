"""Bundles in MLflow's model registry: into it, out of it, and who is champion.

A version is loaded back and compared sample for sample with what was registered before any alias points to it. Loading
goes through `gen_dist.bundle`: nothing is unpickled and no code from the registry is run. MLflow's own loader, which
would do both, is tried only on files that were found to call for ours (`upload.refuse_foreign_code`).
"""

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient
from torch import Tensor

from gen_dist.bundle.bundle import Bundle, load_bundle
from gen_dist.models.table import family_of
from gen_dist.tracking.aliases import VERIFIED_TAG, champion_version, crown, set_challenger
from gen_dist.tracking.challenge import CHAMPION, Alias, Decision, Judgement, challenge
from gen_dist.tracking.lineage import lineage_tags
from gen_dist.tracking.location import store_uri
from gen_dist.tracking.registry_store import RegistryError, registry_client
from gen_dist.tracking.upload import ModelUpload, predict_registered, upload_model
from gen_dist.types import DataSpec

DIGEST_TAG = "gen_dist.bundle_digest"
PROTOCOL_TAG = "gen_dist.protocol"
DISTANCES_TAG = "gen_dist.frechet_distances"
NUM_COMPARED = 8
"""Images that the copy in the registry must make exactly like the original."""

_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[\w-]+))")


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """What became of a bundle.

    Attributes:
        name: of the registered model.
        version: its number.
        alias: which alias points to it now.
        reason: why.
    """

    name: str
    version: int
    alias: Alias
    reason: str

    @property
    def uri(self) -> str:
        """What loads it."""
        return f"models:/{self.name}/{self.version}"


def register(
    bundle_directory: Path,
    name: str,
    *,
    judgement: Judgement,
    record: str,
    sample_sheet: Path | None = None,
    experiment: str = "gen_dist",
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    rejudge: Callable[[Bundle], Judgement] | None = None,
    tracking_uri: str | None = None,
) -> Registration:
    """Make a bundle a version of a registered model, prove that it comes back unchanged, and let it challenge.

    Args:
        bundle_directory: what `save_bundle` wrote.
        name: of the registered model; it is created when it is new.
        judgement: how good the newcomer is.
        record: the evaluation record as JSON; kept beside the bundle.
        sample_sheet: a picture of samples; kept beside the bundle.
        experiment: MLflow experiment of the logged model.
        run_id: the MLflow run that trained it, or None.
        tags: further tags of the version.
        rejudge: judges the champion anew when it was judged under another protocol; None leaves it champion.
        tracking_uri: MLflow's store; None as in `location.store_uri`.

    Raises:
        RegistryError: MLflow can't be reached or refuses, or the version does not give back the same samples.
        BundleError: the directory holds no usable bundle.
    """
    original = load_bundle(bundle_directory)
    with registry_client(store_uri(tracking_uri)) as client:
        all_tags = _version_tags(original, judgement) | lineage_tags() | dict(tags or {})
        version = _find_version(client, name, original.digest)
        if version is None:
            upload = ModelUpload(bundle_directory, original, record, sample_sheet, experiment, run_id, all_tags)
            version = upload_model(client, name, upload)
        else:
            for key, value in all_tags.items():
                client.set_model_version_tag(name, str(version), key, value)
        _verify(client, original, name, version)
        return _challenge(client, name, version, judgement, rejudge)


def _find_version(client: MlflowClient, name: str, digest: str) -> int | None:
    """The version that holds this very bundle already: registering it twice makes no second one."""
    found = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{digest}'")
    return max((int(version.version) for version in found), default=None)


def _version_tags(bundle: Bundle, judgement: Judgement) -> dict[str, str]:
    spec = bundle.spec
    return {
        DIGEST_TAG: bundle.digest,
        PROTOCOL_TAG: judgement.protocol,
        DISTANCES_TAG: json.dumps(judgement.frechet_distances),
        "gen_dist.family": family_of(bundle.config).name,
        "gen_dist.image": f"{spec.channels} x {spec.height} x {spec.width}",
        "gen_dist.num_classes": str(spec.num_classes),
    }


def _verify(client: MlflowClient, original: Bundle, name: str, version: int) -> None:
    """Load the version by both ways that others will use, and compare."""
    uri = f"models:/{name}/{version}"
    sources = _made_up_sources(original.spec) if original.translates else None
    params = {"seed": 0} if original.translates else {"seed": 0, "n": NUM_COMPARED}
    expected = _made_by(original, sources)
    ways = {
        "gen_dist": _made_by(_load(client, name, version), sources),
        "MLflow's pyfunc": torch.from_numpy(
            predict_registered(uri, None if sources is None else sources.numpy(), params)
        ),
    }
    for way, images in ways.items():
        if not torch.equal(images, expected):
            reason = f"{uri}, loaded by {way}, does not make the images of the bundle that was registered"
            client.set_model_version_tag(name, str(version), "gen_dist.reason", reason)
            raise RegistryError(f"{reason}; no alias was moved")
    client.set_model_version_tag(name, str(version), VERIFIED_TAG, f"{NUM_COMPARED} images equal")


def _made_by(bundle: Bundle, sources: Tensor | None) -> Tensor:
    return bundle.sample(NUM_COMPARED, seed=0) if sources is None else bundle.translate(sources, seed=0)


def _made_up_sources(spec: DataSpec) -> Tensor:
    """Noise in the shape of what the model translates: whether two copies are equal shows on any images."""
    assert spec.source is not None, "a model that translates is built for data with sources"
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (NUM_COMPARED, *spec.source.shape), dtype=torch.uint8, generator=generator)


def _challenge(
    client: MlflowClient,
    name: str,
    version: int,
    judgement: Judgement,
    rejudge: Callable[[Bundle], Judgement] | None,
) -> Registration:
    current = champion_version(client, name)
    if current == version:
        reason = client.get_model_version(name, str(version)).tags.get("gen_dist.reason", "it is champion already")
        return Registration(name=name, version=version, alias=CHAMPION, reason=reason)
    champion = None if current is None else _judgement(client.get_model_version(name, str(current)))
    again = ""
    if current is not None and rejudge is not None and (champion is None or champion.protocol != judgement.protocol):
        champion = rejudge(_load(client, name, current))
        again = f" (version {current} was judged again)"
    if current is not None and champion is None:
        decision = Decision(alias="challenger", reason=f"the champion, version {current}, carries no judgement")
    else:
        decision = challenge(judgement, champion)
    reason = decision.reason + again
    move = crown if decision.alias == CHAMPION else set_challenger
    move(client, name, version, reason)
    return Registration(name=name, version=version, alias=decision.alias, reason=reason)


def _judgement(version: ModelVersion) -> Judgement | None:
    protocol, distances = version.tags.get(PROTOCOL_TAG), version.tags.get(DISTANCES_TAG)
    if protocol is None or distances is None:
        return None
    return Judgement(protocol=protocol, frechet_distances=tuple(float(value) for value in json.loads(distances)))


def load_registered(uri: str, *, tracking_uri: str | None = None, device: torch.device | None = None) -> Bundle:
    """A registered bundle, verified against the digest in the registry.

    Args:
        uri: "models:/NAME@ALIAS" or "models:/NAME/VERSION".
        tracking_uri: MLflow's store; None as in `location.store_uri`.
        device: where the model shall compute.

    Raises:
        RegistryError: there is no such version, MLflow can't be reached, or the bundle is not the registered one.
    """
    name, version, alias = parse_model_uri(uri)
    with registry_client(store_uri(tracking_uri)) as client:
        if alias is not None:
            version = int(client.get_model_version_by_alias(name, alias).version)
        assert version is not None, "a model URI names a version or an alias"
        return _load(client, name, version, device)


def _load(client: MlflowClient, name: str, version: int, device: torch.device | None = None) -> Bundle:
    digest = client.get_model_version(name, str(version)).tags.get(DIGEST_TAG)
    if digest is None:
        raise RegistryError(f"models:/{name}/{version} was not registered by gen_dist: it has no tag {DIGEST_TAG}")
    with tempfile.TemporaryDirectory() as folder:
        path = download_artifacts(artifact_uri=f"models:/{name}/{version}/artifacts/bundle", dst_path=folder)
        bundle = load_bundle(path, device=device)
    if bundle.digest != digest:
        raise RegistryError(
            f"the files of models:/{name}/{version} are not the registered ones: their digest is {bundle.digest}, "
            f"the registry's is {digest}"
        )
    return bundle


def parse_model_uri(uri: str) -> tuple[str, int | None, str | None]:
    """Name, version and alias (one of the two is None) of a model URI.

    Raises:
        ValueError: it is none.
    """
    match = _MODEL_URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"{uri!r} names no registered model: write models:/NAME@champion or models:/NAME/3")
    version = match["version"]
    return match["name"], None if version is None else int(version), match["alias"]
