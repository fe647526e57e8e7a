"""Everyone who watches a study: the person at the terminal, and MLflow."""

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import final

from PIL import Image
from rich.console import Console
from rich.live import Live
from rich.table import Table

from gen_dist.config import RunConfig, paths
from gen_dist.data.storage import Storage
from gen_dist.tracking.tracker import RunStatus, Tracker
from gen_dist.training.training import Row
from gen_dist.tuning.records import ConfirmationRecord, StudyRecord, TrialRecord
from gen_dist.tuning.space import Value
from gen_dist.workflows.trial import News

SHOWN_TRIALS = 12
FINISH_SECONDS = 20.0
OpenTracker = Callable[[str], Tracker]  # name of a child run -> its tracker


@final
class StudyWatcher:
    """Shows a study as it goes and passes its history on to MLflow: one run for the study, one for every trial.

    Args:
        study: its terms.
        storage: its folder.
        console: where to show it.
        open_tracker: makes the tracker of a child run.
    """

    def __init__(self, study: StudyRecord, storage: Storage, console: Console, open_tracker: OpenTracker) -> None:
        self._study, self._storage, self._console, self._open_tracker = study, storage, console, open_tracker
        self._trials: dict[str, TrialRecord] = {}
        self._trackers: dict[str, Tracker] = {}
        self._began = time.monotonic()
        self._stack = ExitStack()
        self._live: Live | None = None
        # MLflow may take its time: the search must not wait for it.
        self._finishers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="finish-tracking")

    def __enter__(self) -> "StudyWatcher":
        if self._console.is_terminal:
            self._live = self._stack.enter_context(
                Live(get_renderable=self._table, console=self._console, refresh_per_second=2, transient=True)
            )
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()
        for name in list(self._trackers):
            self._finish(name, "KILLED")
        self._finishers.shutdown(wait=True)

    def started(self, record: TrialRecord) -> None:
        """A trial runs, or runs again."""
        self._trials[record.id] = record
        tracker = self._tracker(record.id)
        tracker.log_params({**paths(RunConfig.from_json(record.config)), "trial": record.id})
        for row in [*record.trace, *record.evaluations]:  # a trial that goes on tells again; nothing arrives twice
            _log(tracker, row)

    def news(self, news: News) -> None:
        """A trial was evaluated."""
        self._trials[news.record.id] = news.record
        tracker = self._tracker(news.record.id)
        for row in [*news.rows, news.evaluation]:
            if row:
                _log(tracker, row)

    def interrupted(self, record: TrialRecord) -> None:
        """A trial's process, node or store was lost; it starts again as soon as there is room."""
        cause = record.error or "its process died"
        self._console.print(
            f"{record.id}  was interrupted ({cause}); it goes on from image {record.spent.images:,} when there is room",
            highlight=False,
            soft_wrap=True,
        )

    def ended(self, record: TrialRecord) -> None:
        """A trial ended."""
        self._trials[record.id] = record
        tracker = self._tracker(record.id)
        if record.outcome is not None:
            tags = {"outcome": record.outcome.kind, "advice": record.outcome.advice}
            tags |= {"evidence": "; ".join(str(fact) for fact in record.outcome.evidence)}
            tracker.set_tags(tags)
        if record.score is not None and record.evaluations:
            tracker.log_metrics(record.spent.images, {"score": record.score})
        self._log_sheet(tracker, record.sample_sheet)
        self._finish(record.id, "FAILED" if record.state == "failed" else "FINISHED")
        if self._live is None:
            self._console.print(self._line(record), highlight=False, soft_wrap=True)

    def confirming(self, num: int) -> None:
        """The search is over; so many confirmation runs follow."""
        self._trials.clear()
        self._console.print(f"confirming with {num} fresh training runs", highlight=False)

    def confirmed(self, record: ConfirmationRecord) -> None:
        """A confirmation run ended."""
        name = f"confirm-{record.trial_id}-{record.seed}"
        tracker = self._tracker(name)
        tracker.log_params({**paths(RunConfig.from_json(record.config)), "trial": record.trial_id})
        if record.metrics:
            tracker.log_metrics(record.spent.images, record.metrics)
        self._log_sheet(tracker, record.sample_sheet)
        self._finish(name, "FAILED" if record.state == "failed" else "FINISHED")
        found = record.metrics.get("frechet_distance")
        fate = record.error or (record.outcome.kind if record.outcome else record.state)
        text = f"distance {found:.4g}" if found is not None else fate
        self._console.print(
            f"confirmed {record.trial_id} with seed {record.seed}: {text}", highlight=False, soft_wrap=True
        )

    def _tracker(self, name: str) -> Tracker:
        if name not in self._trackers:
            self._trackers[name] = self._open_tracker(name)
            self._trackers[name].start()
        return self._trackers[name]

    def _finish(self, name: str, status: RunStatus) -> None:
        tracker = self._trackers.pop(name, None)
        if tracker is not None:
            self._finishers.submit(tracker.finish, status, FINISH_SECONDS)

    def _log_sheet(self, tracker: Tracker, key: str | None) -> None:
        if key is not None:
            tracker.log_image(Image.open(io.BytesIO(self._storage.read_bytes(key))), "samples.png")

    def _line(self, record: TrialRecord) -> str:
        fate = record.error or (record.outcome.kind if record.outcome else record.state)
        if record.stopped_early:
            fate += ", stopped early"
        return (
            f"{record.id}  {_distance(record)}  {fate}  "
            f"({', '.join(f'{name} {_shown(value)}' for name, value in record.values.items())})"
        )

    def _table(self) -> Table:
        ended = sum(record.state in ("finished", "failed") for record in self._trials.values())
        title = (
            f"{self._study.name}: {ended} of {self._study.num_trials} trials, {time.monotonic() - self._began:.0f} s"
        )
        names = ("objective", "k", "generator_learning_rate", "critic_learning_rate")
        table = Table("trial", "objective", "k", "lr G", "lr C", "images", "distance", "state", title=title)
        newest = sorted(self._trials.values(), key=lambda r: (r.state != "running", -r.number))[:SHOWN_TRIALS]
        for record in sorted(newest, key=lambda r: r.number):
            values = (_shown(record.values.get(name, "")) for name in names)
            share = min(1.0, record.spent.images / self._study.images_per_trial)
            fate = record.outcome.kind if record.outcome else record.state
            table.add_row(record.id, *values, f"{share:.0%}", _distance(record), fate)
        return table


def _distance(record: TrialRecord) -> str:
    if not record.evaluations:
        return "-"
    return f"{record.evaluations[-1].get('frechet_distance', float('nan')):.4g}"


def _shown(value: Value) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _log(tracker: Tracker, row: Row) -> None:
    tracker.log_metrics(
        int(row["samples_seen"]), {name: value for name, value in row.items() if name != "samples_seen"}
    )
