"""Judging a model on a processor that is spare, while its run trains on."""

import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import final

import ray
import torch

from gen_dist.bundle.bundle import copy_bundle, load_bundle, save_bundle
from gen_dist.data.dataset import open_dataset
from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.learner import Learner
from gen_dist.serialization import from_json, to_json
from gen_dist.types import DataSpec
from gen_dist.workflows.job import RunJob
from gen_dist.workflows.judging import make_judge

JUDGED = "judging"
WAIT_SECONDS = 600.0


@final
@dataclass(frozen=True, slots=True)
class RemoteAnswer:
    """See `gen_dist.workflows.elsewhere.Answer`."""

    task: "ray.ObjectRef[str]"

    def __call__(self, *, wait: bool) -> EvaluationRecord | None:
        """The record, or None while it is not there. A judgement that failed is an error of the run."""
        ready, _ = ray.wait([self.task], timeout=WAIT_SECONDS if wait else 0)
        return EvaluationRecord.from_json(ray.get(ready[0])) if ready else None


def on_spare_processors(job: RunJob, learner: Learner, spec: DataSpec, ema: bool) -> RemoteAnswer | None:
    """Hand a model to another process; None when the cluster has no processor that idles.

    A task that had to wait for a processor would wait until the training that it belongs to has ended.
    """
    if ray.available_resources().get("CPU", 0.0) < 1.0:
        return None
    place = job.folder.child(JUDGED).child(uuid.uuid4().hex)
    with tempfile.TemporaryDirectory() as scratch:
        local = Path(scratch) / "bundle"
        save_bundle(learner, job.config.model, spec, {"run": job.name}, local)
        copy_bundle(local, place.uri)
    remote = ray.remote(_judge).options(num_cpus=1, max_retries=2)
    return RemoteAnswer(remote.remote(to_json(job), place.uri, ema))


def _judge(job_text: str, place: str, ema: bool) -> str:
    """What runs in the other process."""
    job = from_json(job_text, RunJob)
    assert job.judging is not None, "only runs that are judged hand models over"
    torch.set_num_threads(1)
    learner = load_bundle(place).learner
    judge = make_judge(job.judging, open_dataset(job.data), torch.device("cpu"), learner=learner)
    record = judge.evaluate(learner, ema=ema)
    job.folder.child(JUDGED).delete(place.rsplit("/", 1)[-1])
    return record.to_json()
