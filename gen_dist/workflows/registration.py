"""From a finished run or study to a version in the model registry."""

import math
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from gen_dist.bundle.bundle import Bundle
from gen_dist.data.dataset import open_dataset
from gen_dist.data.storage import Storage
from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.tracking.challenge import Judgement
from gen_dist.tracking.registry import Registration, register
from gen_dist.tuning.confirm import METRIC
from gen_dist.tuning.ledger import Ledger, confirmation_folder
from gen_dist.tuning.records import ConfirmationRecord
from gen_dist.tuning.report.view import StudyView
from gen_dist.workflows.confirmation import EVALUATION, SELECTION_PREFIX
from gen_dist.workflows.job import BUNDLE, SAMPLES, Judging, RunJob, RunResult
from gen_dist.workflows.judging import make_judge
from gen_dist.workflows.trial import SHEET


def register_run(job: RunJob, result: RunResult, name: str, console: Console) -> Registration:
    """Let the model of a finished run challenge the champion of a registered model.

    Raises:
        ValueError: the run was not judged, or its model makes no images.
    """
    if result.evaluation is None or job.judging is None:
        raise ValueError(f"run {job.name!r} was not evaluated, so it can't be registered: train it with --evaluate")
    record = EvaluationRecord.from_json(result.evaluation)
    if METRIC not in record.metrics:
        raise ValueError(f"run {job.name!r} makes no images, so nothing compares it with a champion")
    sheets = [key for key in job.folder.list(SAMPLES) if key.endswith(".png")]
    return _register(
        job.folder, name, [record.metrics[METRIC]], record, job.judging, job.data, sheets[-1] if sheets else None,
        {"gen_dist.run": job.name}, job.experiment or "gen_dist", console,
    )  # fmt: skip


def register_winner(
    ledger: Ledger, view: StudyView, name: str, judging: Judging, experiment: str, console: Console
) -> Registration | None:
    """Let a study's winner challenge the champion.

    Of its runs the one is taken that is best on the split which the search used; the split on which it is judged has
    no say in it. The judgement is that of the whole configuration, over all its seeds.
    """
    if view.winner is None:
        console.print("no configuration was confirmed, so nothing is registered")
        return None
    runs = [run for run in ledger.confirmations() if run.trial_id == view.winner.trial_id and METRIC in run.metrics]
    best = min(runs, key=_search_distance)
    folder = ledger.storage.child(confirmation_folder(best.trial_id, best.seed))
    record = EvaluationRecord.from_json(folder.read_bytes(EVALUATION).decode())
    tags = {
        "gen_dist.study": ledger.study.name,
        "gen_dist.trial": best.trial_id,
        "gen_dist.training_seed": str(best.seed),
    }
    return _register(
        folder, name, list(view.winner.distances), record, judging, ledger.study.data_uri, SHEET, tags, experiment,
        console,
    )  # fmt: skip


def _register(
    folder: Storage,
    name: str,
    distances: Sequence[float],
    record: EvaluationRecord,
    judging: Judging,
    data: str,
    sheet: str | None,
    tags: dict[str, str],
    experiment: str,
    console: Console,
) -> Registration:
    def rejudge(champion: Bundle) -> Judgement:
        judge = make_judge(replace(judging, split="test"), open_dataset(data), torch.device("cpu"))
        again = judge.evaluate(champion.learner, ema=True)
        return Judgement(protocol=again.protocol.comparable(), frechet_distances=(again.metrics[METRIC],))

    with ExitStack() as stack:
        local = _on_this_machine(
            folder, [f"{BUNDLE}/weights.safetensors", f"{BUNDLE}/bundle.json", *([sheet] if sheet else [])], stack
        )
        registration = register(
            local / BUNDLE,
            name,
            judgement=Judgement(protocol=record.protocol.comparable(), frechet_distances=tuple(distances)),
            record=record.to_json(indent=1),
            sample_sheet=None if sheet is None else local / sheet,
            experiment=experiment,
            tags=tags,
            rejudge=rejudge,
        )
    console.print(
        f"registered {name} version {registration.version} as @{registration.alias}: {registration.reason}",
        highlight=False,
        soft_wrap=True,
    )
    for note in record.notes:
        console.print(f"mind: {note}", highlight=False, soft_wrap=True)
    uri = f"models:/{name}@{registration.alias}"
    if record.protocol.num_translated:
        use = f"translate with it: gen-dist explore translate {uri} --data {data} --out pairs.png"
    else:
        use = f"draw from it: gen-dist sample {uri} -n 64 --seed 0 --out grid.png"
    console.print(use, highlight=False, soft_wrap=True)
    return registration


def _on_this_machine(folder: Storage, keys: Sequence[str], stack: ExitStack) -> Path:
    """The folder itself when it is local, else a copy of the files."""
    if folder.local_path is not None:
        return folder.local_path
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for key in keys:
        folder.download(key, scratch / key)
    return scratch


def _search_distance(run: ConfirmationRecord) -> float:
    return run.metrics.get(SELECTION_PREFIX + METRIC, math.inf)
