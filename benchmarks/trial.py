"""What a trial of a study costs beside its training, under Ray Tune.

Run:
    python benchmarks/trial.py

A search of tiny trials runs one at a time. A trial's cost is the time from the end of the trial before it (for the
first: from the start of the search) to its own end, minus the seconds that it trained. So it holds everything: the
proposal, Tune's turn, the start of the process or its reuse, opening the data, building the networks, one evaluation
of 100 samples, one checkpoint, one sample sheet, and the ledger. The first trial is cold: it starts a process, imports
torch and computes the features of the data. The others reuse the process and are warm. Starting Ray is not included.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import tempfile
import time
from pathlib import Path
from typing import cast

import ray
from rich.console import Console

from gen_dist.cluster.session import Resources, connect
from gen_dist.cluster.tune import search
from gen_dist.data.catalog import SourceOptions, open_source
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.storage import open_storage
from gen_dist.presets import preset
from gen_dist.tuning.ledger import Ledger
from gen_dist.tuning.records import TrialRecord
from gen_dist.workflows.budget import Budget
from gen_dist.workflows.job import Judging
from gen_dist.workflows.study import StudySettings, new_study, terms_of
from gen_dist.workflows.trial import News
from gen_dist.workflows.watcher import StudyWatcher

NUM_TRIALS = 6
IMAGES = 640
TARGET_SECONDS = 2.0


class Clock:
    """Notes when trials start and end, in the place of the one who shows them."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.starts: dict[str, float] = {}
        self.news_at: dict[str, float] = {}
        self.ends: dict[str, float] = {}

    def started(self, record: TrialRecord) -> None:
        self.starts.setdefault(record.id, time.perf_counter())

    def news(self, news: News) -> None:
        self.news_at[news.record.id] = time.perf_counter()

    def ended(self, record: TrialRecord) -> None:
        self.ends[record.id] = time.perf_counter()


def make_study(folder: Path) -> Ledger:
    digits = import_source(open_source("digits", SourceOptions()), folder / "digits", ImportOptions()).dataset
    return new_study(
        "study",
        open_storage(folder / "study"),
        "dcgan-8",
        preset("dcgan-8"),
        digits,
        StudySettings(
            space="quick",
            searcher="random",
            scheduler="none",
            num_trials=NUM_TRIALS,
            images_per_trial=IMAGES,
            evaluations=1,
            confirm=0,
        ),
        judging=Judging(split="validation", num_samples=100),
        experiment=None,
        register="",
        console=Console(quiet=True),
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        ledger = make_study(Path(temporary))
        connect(Console(quiet=True), num_cpus=1)
        clock = Clock()
        search(
            ledger,
            terms_of(ledger.storage).judging,
            resources=Resources(cpus=1.0),
            watcher=cast(StudyWatcher, clock),
            budget=Budget(None),
        )
        whole = time.perf_counter() - clock.began
        ray.shutdown()
        trials = sorted(ledger.trials(), key=lambda trial: clock.ends[trial.id])
    before = clock.began
    costs = []
    print(
        f"{'trial':<8}{'state':<10}{'training s':>11}{'cost s':>8}   of which to start, to the evaluation, to the end"
    )
    for trial in trials:
        start, news, end = clock.starts[trial.id], clock.news_at[trial.id], clock.ends[trial.id]
        costs.append(end - before - trial.spent.seconds)
        parts = f"{start - before:.2f}, {news - start - trial.spent.seconds:.2f}, {end - news:.2f}"
        print(f"{trial.id:<8}{trial.state:<10}{trial.spent.seconds:>11.2f}{costs[-1]:>8.2f}   {parts}")
        before = end
    warm = statistics.median(costs[1:])
    trained = sum(trial.spent.seconds for trial in trials)
    verdict = "met" if warm <= TARGET_SECONDS else "MISSED"
    print(f"cold trial: {costs[0]:.2f} s")
    print(f"warm trial: {warm:.2f} s ({min(costs[1:]):.2f}-{max(costs[1:]):.2f})   target {TARGET_SECONDS}: {verdict}")
    print(f"whole search: {whole:.1f} s for {NUM_TRIALS} trials, of which training {trained:.1f} s")


if __name__ == "__main__":
    main()
