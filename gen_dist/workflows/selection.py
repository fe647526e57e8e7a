"""Choosing among the models that a run passes through: the one that finds validation images most probable.

A small dataset is soon learned by heart, and the last model is then far from the best one. Families that can score
images are judged at the best of several moments. The split on which they are judged has no say in it. Families that
can't are judged as they end.
"""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch

from gen_dist.bundle.bundle import copy_bundle, load_bundle, save_bundle
from gen_dist.capabilities import EstimatesPartition, Scores
from gen_dist.data.dataset import Dataset
from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.evaluation.likelihood import likelihood
from gen_dist.learner import Learner
from gen_dist.sampling.draw import device_of
from gen_dist.serialization import from_json, to_json
from gen_dist.training.training import Row
from gen_dist.types import DataSpec, Moment
from gen_dist.workflows.job import RunJob

BEST = "best"
POINTER = "best.json"
NUM_SCORED = 500
SEED = 0
PREFIX = "validation_"


def keep_bundle(job: RunJob, learner: Learner, spec: DataSpec, place: str) -> str:
    """Write a model of a run into its folder, its description last, and return its URI."""
    provenance = {
        "run": job.name,
        "data": job.data,
        "data_digest": job.data_digest,
        "config": job.config.to_json(),
    }
    kept = job.folder.child(place).uri
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "bundle"
        save_bundle(learner, job.config.model, spec, provenance, local)
        copy_bundle(local, kept)
    return kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """The best model so far: where it lies in the run's folder, what it scored, and after how many images."""

    place: str
    value: float
    samples_seen: int


@final
class Selection:
    """The best model of a run so far, kept in the run's folder, so that a restart does not forget it.

    Args:
        job: the run.
        dataset: whose validation images decide, the same ones every time.
    """

    def __init__(self, job: RunJob, dataset: Dataset) -> None:
        self._job, self._spec = job, dataset.spec
        self._images = dataset.read("validation", limit=NUM_SCORED).images

    def consider(self, learner: Learner, moment: Moment) -> Row | None:
        """Score a model and keep it if none before was better; None for a model that can't score."""
        if not isinstance(learner, Scores):
            return None
        scored = likelihood(learner, self._images, seed=SEED)
        assert scored is not None, "it can score"
        name, value = next(iter(scored.metrics.items()))
        best = self.best
        if math.isfinite(value) and (best is None or value < best.value):
            place = f"{BEST}/{moment.samples_seen:012d}"
            keep_bundle(self._job, learner, self._spec, place)
            now = Best(place=place, value=value, samples_seen=moment.samples_seen)
            self._job.folder.write_bytes(POINTER, to_json(now).encode())
            if best is not None and best.place != place:
                self._job.folder.delete(best.place)
        return {f"{PREFIX}{name}": value}

    def chosen(self, last: Learner) -> Learner:
        """The best model; the last one where none was kept.

        A log Z is estimated anew: of several looks the best is likely to be one whose estimate was lucky.
        """
        best = self.best
        if best is None:
            return last
        learner: Learner = load_bundle(self._job.folder.child(best.place).uri, device=device_of(last)).learner
        if isinstance(learner, EstimatesPartition):
            with seeded(seed_for("chosen", SEED, best.samples_seen)), torch.no_grad():
                learner.finalise(())
        return learner

    @property
    def images_of_best(self) -> int | None:
        """Training images that the best model had seen, or None where none was kept."""
        best = self.best
        return None if best is None else best.samples_seen

    @property
    def best(self) -> Best | None:
        """The best model so far, or None where none was kept.

        Raises:
            ValueError: the file that says so is damaged.
        """
        folder = self._job.folder
        try:
            text = folder.read_bytes(POINTER).decode(errors="replace")
        except FileNotFoundError:
            return None
        try:
            return from_json(text, Best)
        except ValueError as error:
            raise ValueError(
                f"{folder.uri}/{POINTER} is damaged ({error}): restore it, or delete it to choose from now on"
            ) from error
