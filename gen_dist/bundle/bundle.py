"""What is registered, exchanged and loaded: one directory that holds a trained model and all that it needs.

    weights.safetensors   the finalised evaluation copy: parameters and persistent buffers
    bundle.json           the model's configuration, its DataSpec, where it came from, digests; written last

Loading builds the model from the table of families and fills it. Nothing is unpickled and no code is taken from the
directory; a file that was cut short or edited is refused by name.
"""

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from gen_dist.capabilities import Samples, Translates
from gen_dist.data.storage import Storage, open_storage
from gen_dist.distributed.seeding import seeded
from gen_dist.learner import Learner
from gen_dist.models.table import AnyModelConfig
from gen_dist.sampling.draw import draw_samples
from gen_dist.sampling.translate import translations
from gen_dist.serialization import from_json, to_json
from gen_dist.types import DataSpec

WEIGHTS = "weights.safetensors"
DESCRIPTION = "bundle.json"
SCHEMA_VERSION = 1


class BundleError(ValueError):
    """A bundle can't be used; the message names its file and the cause."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BundleDescription:
    """What bundle.json holds.

    Attributes:
        schema_version: of this layout.
        model: the configuration, tagged with its family.
        data: what the images are like.
        provenance: where the model came from, for people: JSON values.
        weights_sha256: of weights.safetensors.
        digest: SHA-256 of all the above; identifies the bundle.
    """

    schema_version: int
    model: AnyModelConfig
    data: DataSpec
    provenance: dict[str, Any]
    weights_sha256: str
    digest: str = ""


@final
class Bundle:
    """A loaded model, in evaluation mode.

    Attributes:
        learner: the model.
        description: its configuration, its data and its origin.
    """

    def __init__(self, learner: Learner, description: BundleDescription) -> None:
        self.learner = learner
        self.description = description

    @property
    def config(self) -> AnyModelConfig:
        """The model's configuration."""
        return self.description.model

    @property
    def spec(self) -> DataSpec:
        """What the images are like."""
        return self.description.data

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the model came from."""
        return self.description.provenance

    @property
    def digest(self) -> str:
        """SHA-256 that identifies weights, configuration, data and provenance."""
        return self.description.digest

    def sample(
        self, num: int, *, seed: int = 0, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Draw images; the same seed gives the same pixels on machines of the same kind.

        Raises:
            ValueError: the model can't sample, or an argument is out of range.
        """
        return draw_samples(self.learner, num, seed=seed, condition=condition, temperature=temperature)

    @property
    def translates(self) -> bool:
        """Whether the model makes images from images and draws none of its own."""
        return isinstance(self.learner, Translates) and not isinstance(self.learner, Samples)

    def translate(self, sources: UInt8[Tensor, "n s i j"], *, seed: int = 0) -> UInt8[Tensor, "n c h w"]:
        """Make one image from each source; the same seed gives the same pixels on machines of the same kind.

        Raises:
            ValueError: the model can't translate, or not such sources.
        """
        return translations(self.learner, sources, seed=seed)


def save_bundle(
    learner: Learner,
    model_config: AnyModelConfig,
    spec: DataSpec,
    provenance: Mapping[str, Any],
    directory: Path,
) -> BundleDescription:
    """Write a bundle; the directory appears whole or not at all.

    Args:
        learner: the copy to keep: averaged weights, finalised.
        model_config: what it was built from.
        spec: what it was built for.
        provenance: JSON values that say where it came from.
        directory: must not exist yet (an empty one may).

    Raises:
        FileExistsError: there is something at `directory` already.
    """
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in learner.state_dict().items()}
    weights = save_tensors(tensors)
    description = BundleDescription(
        schema_version=SCHEMA_VERSION,
        model=model_config,
        data=spec,
        provenance=dict(provenance),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    description = dataclasses.replace(description, digest=_digest(json.loads(to_json(description))))
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as unfinished:
        whole = Path(unfinished) / "bundle"
        files = open_storage(whole)
        files.write_bytes(WEIGHTS, weights)
        files.write_bytes(DESCRIPTION, (to_json(description, indent=2) + "\n").encode())
        _move(whole, directory)
    return description


def load_bundle(location: str | Path, *, device: torch.device | None = None) -> Bundle:
    """Load a bundle from a directory or an `s3://` prefix.

    Args:
        location: where it lies.
        device: where the model shall compute; the CPU by default. The same seed gives other pixels on a GPU.

    Raises:
        BundleError: it is not there, incomplete, edited, of another schema version, or does not fit its own model.
    """
    storage = open_storage(location)
    description = _read_description(storage)
    try:
        weights = storage.read_bytes(WEIGHTS)
    except FileNotFoundError as error:
        raise BundleError(f"{storage.uri}: {WEIGHTS} is missing, so this bundle is incomplete") from error
    if hashlib.sha256(weights).hexdigest() != description.weights_sha256:
        raise BundleError(f"{storage.uri}/{WEIGHTS} was cut short or edited: its SHA-256 is not the recorded one")
    with seeded(0):  # building draws initial weights: leave the caller's generator alone
        learner = description.model.build(description.data)
    try:
        learner.load_state_dict(load_tensors(weights), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(f"{storage.uri}/{WEIGHTS} does not fit the model in {DESCRIPTION}: {error}") from error
    return Bundle(learner.to(device).eval().requires_grad_(False), description)


def copy_bundle(source: str | Path, destination: str | Path) -> None:
    """Copy a bundle to another place (a study's storage, say), its description last, so that it exists when whole."""
    read, write = open_storage(source), open_storage(destination)
    _read_description(read)
    for name in (WEIGHTS, DESCRIPTION):
        write.write_bytes(name, read.read_bytes(name))


def _read_description(storage: Storage) -> BundleDescription:
    where = f"{storage.uri}/{DESCRIPTION}"
    try:
        text = storage.read_bytes(DESCRIPTION).decode(errors="replace")
    except FileNotFoundError as error:
        raise BundleError(f"{storage.uri} holds no bundle: there is no {DESCRIPTION}") from error
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise BundleError(f"{where} was cut short or edited: it is not JSON ({error})") from error
    version = tree.get("schema_version") if isinstance(tree, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{where} has schema version {version!r}, and this gen_dist reads {SCHEMA_VERSION}: "
            "use the gen_dist that wrote it"
        )
    if tree.get("digest") != _digest(tree):
        raise BundleError(f"{where} was edited: its contents do not fit its digest")
    try:
        return from_json(text, BundleDescription)
    except ValueError as error:
        raise BundleError(f"{where} is of another gen_dist, use the one that wrote it: {error}") from error


def _digest(tree: Mapping[str, Any]) -> str:
    """SHA-256 of what is written, not of what is read: a field that a later version adds leaves old bundles valid."""
    contents = {name: value for name, value in tree.items() if name != "digest"}
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def _move(whole: Path, directory: Path) -> None:
    try:
        # One step: a reader sees nothing or all, and of two writers one wins.
        whole.rename(directory)
    except OSError as error:
        if not directory.exists():
            raise
        raise FileExistsError(f"{directory} exists already: name another directory, or remove it") from error
    handle = os.open(directory.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
