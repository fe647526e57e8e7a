"""A comparison of families on one dataset: what was agreed, and what came of each preset. It can be taken up again.

<folder>/comparison.json          the terms, written first
<folder>/runs/<preset>/           an ordinary training run
<folder>/entries/<preset>.json    what came of it
<folder>/samples/<preset>.safetensors
<folder>/comparison.{md,parquet}, samples.png
"""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from gen_dist.capabilities import Samples, Scores, Translates
from gen_dist.data.storage import Storage
from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.learner import Learner
from gen_dist.presets import PRESETS, preset
from gen_dist.serialization import from_json, to_json
from gen_dist.types import DataSpec
from gen_dist.workflows.job import Judging

TERMS = "comparison.json"
RUNS = "runs"
ENTRIES = "entries"
SAMPLES = "samples"

EntryState = Literal["finished", "diverged", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What was agreed before the first preset trained.

    Attributes:
        name: of the comparison.
        presets: what competes, in the order of the table.
        data: URI of the dataset.
        data_digest: of the dataset.
        judging: the one protocol.
        budget_seconds: training time of each preset, or None when images are counted.
        budget_images: training images of each preset, or None when time is counted.
        max_epochs: passes over the training images at most, whatever the budget: small data would be learned by heart.
        seed: of every run.
        experiment: MLflow's, or None for no tracking.
    """

    name: str
    presets: tuple[str, ...]
    data: str
    data_digest: str
    judging: Judging
    budget_seconds: float | None
    budget_images: int | None
    max_epochs: float = 100.0
    seed: int = 0
    experiment: str | None = None

    def __post_init__(self) -> None:
        if (self.budget_seconds is None) == (self.budget_images is None):
            raise ValueError("a comparison counts time or images: give either a time budget or a number of images")
        for name, budget in (("budget_seconds", self.budget_seconds), ("budget_images", self.budget_images)):
            if budget is not None and not budget > 0:
                raise ValueError(f"{name} is {budget}: it must be positive")
        if not self.max_epochs > 0.0:
            raise ValueError(f"max_epochs is {self.max_epochs}: it must be positive")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What came of one preset: a row of the table.

    Attributes:
        preset: its name.
        state: "finished"; "diverged"; or "failed", which is anything else.
        error: what went wrong, in one line.
        parameters: numbers that training moved; a fitted baseline has none.
        images: training images drawn, of all stages.
        updates: steps of all players.
        training_seconds: of all stages.
        sampling_seconds: to draw `sampled` images.
        sampled: images drawn at once when drawing was timed.
        device: where, as torch calls it.
        threads: that it computed with.
        evaluation: record as JSON text, or None without one.
        bundle: URI of the trained model, or None.
        selected_images: training images that the judged model had seen, where the best on validation images was
            selected; None where the last one is judged.
    """

    preset: str
    state: EntryState
    error: str | None = None
    parameters: int = 0
    images: int = 0
    updates: int = 0
    training_seconds: float = 0.0
    sampling_seconds: float | None = None
    sampled: int = 0
    device: str = "cpu"
    threads: int = 1
    evaluation: str | None = None
    bundle: str | None = None
    selected_images: int | None = None

    @property
    def record(self) -> EvaluationRecord | None:
        """The evaluation."""
        return None if self.evaluation is None else EvaluationRecord.from_json(self.evaluation)


def fits_data(name: str, spec: DataSpec) -> Learner:
    """The preset's network, built without memory.

    Raises:
        ValueError: it does not suit the data; the message names the preset.
    """
    try:
        with torch.device("meta"):
            return preset(name).model.build(spec)
    except ValueError as error:
        raise ValueError(f"preset {name} does not suit these images: {error}") from error


def suitable_presets(spec: DataSpec) -> list[str]:
    """Presets for images of this size, with these labels, that can be judged; only the last of a family's stages."""
    side = str(max(spec.height, spec.width))
    earlier = {row.foundation for row in PRESETS.values()}
    return [name for name in PRESETS if name.rsplit("-", 1)[-1] == side and name not in earlier and _suits(name, spec)]


def _suits(name: str, spec: DataSpec) -> bool:
    try:
        return can_be_judged(fits_data(name, spec))
    except ValueError:
        return False


def can_be_judged(learner: Learner) -> bool:
    """Whether it draws, translates or scores images: an autoencoder and a classifier do nothing of it."""
    return isinstance(learner, Samples | Scores | Translates)


def chosen_presets(patterns: Sequence[str], spec: DataSpec) -> tuple[str, ...]:
    """The presets that names and patterns ("realnvp-*") choose; without any, all that suit the images.

    Raises:
        ValueError: a pattern fits none, or no preset suits such images.
    """
    if not patterns:
        suitable = suitable_presets(spec)
        if not suitable:
            raise ValueError(
                f"no preset is made for {spec.height}x{spec.width} images: name presets (`gen-dist models` lists them)"
            )
        return tuple(suitable)
    chosen: dict[str, None] = {}
    for pattern in patterns:
        fitting = fnmatch.filter(PRESETS, pattern)
        if not fitting:
            raise ValueError(f"no preset is called {pattern!r}; `gen-dist models` lists them")
        chosen.update(dict.fromkeys(fitting))
    return tuple(chosen)


def create_comparison(folder: Storage, comparison: Comparison) -> None:
    """Write the terms down.

    Raises:
        ValueError: there is one in this folder already.
    """
    require_new(folder)
    folder.write_bytes(TERMS, to_json(comparison, indent=1).encode())


def require_new(folder: Storage) -> None:
    """Refuse a folder that is taken, before anything is written there.

    Raises:
        ValueError: there is a comparison in this folder.
    """
    if folder.exists(TERMS):
        raise ValueError(f"there is a comparison in {folder.uri} already: go on with it (--resume) or name another")


def open_comparison(folder: Storage) -> Comparison:
    """The terms of the comparison in this folder.

    Raises:
        ValueError: there is none, or the file is damaged.
    """
    try:
        text = folder.read_bytes(TERMS).decode(errors="replace")
    except FileNotFoundError as error:
        raise ValueError(f"there is no comparison in {folder.uri}: {TERMS} is missing") from error
    try:
        return from_json(text, Comparison)
    except ValueError as error:
        raise ValueError(f"{folder.uri}/{TERMS}: {error}") from error


def write_entry(folder: Storage, entry: Entry) -> None:
    """Keep what came of a preset."""
    folder.write_bytes(f"{ENTRIES}/{entry.preset}.json", to_json(entry, indent=1).encode())


def read_entry(folder: Storage, name: str) -> Entry | None:
    """What came of a preset, or None while nobody knows."""
    try:
        return from_json(folder.read_bytes(f"{ENTRIES}/{name}.json").decode(errors="replace"), Entry)
    except FileNotFoundError:
        return None


def unfinished(folder: Storage, comparison: Comparison) -> list[str]:
    """Presets of which nothing is known yet, and those that failed: another attempt may do better."""
    entries = {name: read_entry(folder, name) for name in comparison.presets}
    return [name for name, entry in entries.items() if entry is None or entry.state == "failed"]


def write_samples(folder: Storage, name: str, images: UInt8[Tensor, "n c h w"]) -> None:
    """Keep some of a model's samples for the sheet."""
    folder.write_bytes(f"{SAMPLES}/{name}.safetensors", save_tensors({"images": images.contiguous()}))


def read_samples(folder: Storage, name: str) -> UInt8[Tensor, "n c h w"] | None:
    """The kept samples of a model, or None without any.

    Raises:
        ValueError: the file holds something else.
    """
    key = f"{SAMPLES}/{name}.safetensors"
    try:
        images: torch.Tensor = load_tensors(folder.read_bytes(key))["images"]
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{folder.uri}/{key} holds no samples ({error}): delete it") from error
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(f"{folder.uri}/{key} holds no samples ({images.dtype}, {tuple(images.shape)}): delete it")
    return images
