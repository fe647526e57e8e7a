"""A comparison of families on one dataset: what was agreed, and what came of each run. It can be taken up again.

<folder>/comparison.json          the terms, written first
<folder>/runs/<name>/             an ordinary training run; its name is the preset's, of several seeds <preset>.seed-<n>
<folder>/entries/<name>.json      what came of it
<folder>/samples/<name>.safetensors
<folder>/comparison.{md,parquet}, samples.png
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from gen_dist.data.storage import Storage
from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.serialization import from_json, to_json
from gen_dist.workflows.job import Judging

TERMS = "comparison.json"
RUNS = "runs"
ENTRIES = "entries"
SAMPLES = "samples"

EntryState = Literal["finished", "diverged", "failed"]


@final
@dataclass(frozen=True, slots=True)
class Entrant:
    """One run of a comparison: a preset, trained with one seed.

    Attributes:
        preset: its name.
        seed: of the run; None where the comparison has only one.
    """

    preset: str
    seed: int | None = None

    @property
    def name(self) -> str:
        """Of its run, entry and samples."""
        return self.preset if self.seed is None else f"{self.preset}.seed-{self.seed}"

    @property
    def title(self) -> str:
        """For people."""
        return self.preset if self.seed is None else f"{self.preset} seed {self.seed}"


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
        seed: of every preset's first run.
        num_seeds: runs of each preset, with the seeds `seed`, `seed` + 1 and so on.
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
    num_seeds: int = 1
    experiment: str | None = None

    def __post_init__(self) -> None:
        if (self.budget_seconds is None) == (self.budget_images is None):
            raise ValueError("a comparison counts time or images: give either a time budget or a number of images")
        for name, budget in (("budget_seconds", self.budget_seconds), ("budget_images", self.budget_images)):
            if budget is not None and not budget > 0:
                raise ValueError(f"{name} is {budget}: it must be positive")
        if not self.max_epochs > 0.0:
            raise ValueError(f"max_epochs is {self.max_epochs}: it must be positive")
        if self.num_seeds < 1:
            raise ValueError(f"num_seeds is {self.num_seeds}: each preset trains at least once")

    @property
    def seeds(self) -> range:
        """The seeds with which each preset trains."""
        return range(self.seed, self.seed + self.num_seeds)

    @property
    def entrants(self) -> tuple[Entrant, ...]:
        """All runs, one seed after the other: what was cut off has compared all presets on the earlier ones."""
        if self.num_seeds == 1:
            return tuple(Entrant(name) for name in self.presets)
        return tuple(Entrant(name, seed) for seed in self.seeds for name in self.presets)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What came of one run.

    Attributes:
        preset: its name.
        seed: of the run; None where the comparison has only one.
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
    seed: int | None = None

    @property
    def entrant(self) -> Entrant:
        """Whose entry this is."""
        return Entrant(self.preset, self.seed)

    @property
    def record(self) -> EvaluationRecord | None:
        """The evaluation."""
        return None if self.evaluation is None else EvaluationRecord.from_json(self.evaluation)


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
    """Keep what came of a run."""
    folder.write_bytes(f"{ENTRIES}/{entry.entrant.name}.json", to_json(entry, indent=1).encode())


def read_entry(folder: Storage, name: str) -> Entry | None:
    """What came of the run of this name, or None while nobody knows."""
    try:
        return from_json(folder.read_bytes(f"{ENTRIES}/{name}.json").decode(errors="replace"), Entry)
    except FileNotFoundError:
        return None


def read_entries(folder: Storage, comparison: Comparison) -> list[Entry]:
    """What is known so far."""
    entries = (read_entry(folder, entrant.name) for entrant in comparison.entrants)
    return [entry for entry in entries if entry is not None]


def unfinished(folder: Storage, comparison: Comparison) -> list[Entrant]:
    """Runs of which nothing is known yet, and those that failed: another attempt may do better."""
    settled = {entry.entrant for entry in read_entries(folder, comparison) if entry.state != "failed"}
    return [entrant for entrant in comparison.entrants if entrant not in settled]


def write_samples(folder: Storage, name: str, images: UInt8[Tensor, "n c h w"]) -> None:
    """Keep some samples of the run of this name for the sheet."""
    folder.write_bytes(f"{SAMPLES}/{name}.safetensors", save_tensors({"images": images.contiguous()}))


def read_samples(folder: Storage, name: str) -> UInt8[Tensor, "n c h w"] | None:
    """The kept samples of the run of this name, or None without any.

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
