"""One run of a comparison: train a preset within the budget, judge, time, and keep a few samples."""

from collections.abc import Callable
from dataclasses import replace
from typing import final

import torch
from rich.console import Console
from torch import Tensor

from gen_dist.bundle.bundle import load_bundle
from gen_dist.capabilities import Samples, Translates
from gen_dist.config import RunConfig
from gen_dist.data.dataset import open_dataset
from gen_dist.data.storage import Storage
from gen_dist.distributed.world import World
from gen_dist.learner import Learner
from gen_dist.presets import PRESETS, preset
from gen_dist.sampling.draw import draw_samples
from gen_dist.sampling.translate import translations
from gen_dist.tracking.tracker import NoTracker, Tracker
from gen_dist.training.clock import fair_clock
from gen_dist.training.training import Diverged
from gen_dist.workflows.comparison import RUNS, Comparison, Entrant, Entry, write_samples
from gen_dist.workflows.competing_presets import can_be_judged
from gen_dist.workflows.equal_budget import images_within, with_budget
from gen_dist.workflows.foundation import with_foundation
from gen_dist.workflows.job import JOB, RunJob, RunResult, create_run, open_run, read_result
from gen_dist.workflows.run import work

SHOWN = 16
TIMED = 64
SAMPLE_SEED = 0
FIRST_STAGE = "foundation"
LOOKS = 10  # at which the best model on validation images is selected


def no_tracker(_job: RunJob) -> Tracker:
    """Nobody is told."""
    return NoTracker()


@final
class ComparedRun:
    """A preset with one seed within a comparison, stage by stage.

    Args:
        folder: of the comparison.
        comparison: its terms.
        entrant: the preset and the seed.
        device: where to train.
        tracker_of: who is told about a run.
        console: where to show progress.
    """

    def __init__(
        self,
        folder: Storage,
        comparison: Comparison,
        entrant: Entrant,
        *,
        device: torch.device,
        tracker_of: Callable[[RunJob], Tracker] = no_tracker,
        console: Console | None = None,
    ) -> None:
        self._folder, self._comparison, self._entrant = folder, comparison, entrant
        self._device, self._tracker_of, self._console = device, tracker_of, console
        self._clock = fair_clock(device)

    def run(self) -> Entry:
        """Train (or go on training) and judge; a finished run is not trained again.

        Raises:
            ValueError: the preset does not fit the data.
        """
        try:
            return self._entry(self._stages())
        except Diverged as error:  # in the rounds that measure its speed, before there is a run
            threads = torch.get_num_threads()
            return Entry(
                preset=self._entrant.preset, seed=self._entrant.seed, state="diverged", error=str(error),
                device=str(self._device), threads=threads,
            )  # fmt: skip

    def _stages(self) -> list[RunResult]:
        """How each stage ended; the second is left out where the first one did not end well."""
        name = self._entrant.name
        first = PRESETS[self._entrant.preset].foundation
        stages = 1 if first is None else 2
        results: list[RunResult] = []
        if first is not None:
            results.append(self._train(f"{name}.{FIRST_STAGE}", preset(first), stages, judged=False))
        if not results or results[0].finished:
            config = preset(self._entrant.preset)
            if results:
                spec = open_dataset(self._comparison.data).spec
                config = with_foundation(replace(config, foundation=results[0].bundle), spec)
            results.append(self._train(name, config, stages, judged=True))
        return results

    def _train(self, run_name: str, config: RunConfig, stages: int, *, judged: bool) -> RunResult:
        job = self._job(run_name, config, stages, judged=judged)
        done = read_result(job)
        if done is not None and (done.finished or done.diverged is not None):
            return done
        return work(
            job, world=World(device=self._device), device=self._device, tracker=self._tracker_of(job),
            console=self._console, clock=self._clock,
        )  # fmt: skip

    def _job(self, run_name: str, config: RunConfig, stages: int, *, judged: bool) -> RunJob:
        """The run as it was written down, or a new one whose length fits the budget."""
        terms, runs = self._comparison, self._folder.child(RUNS)
        if runs.exists(f"{run_name}/{JOB}"):
            return open_run(runs.uri, run_name)
        seed = terms.seed if self._entrant.seed is None else self._entrant.seed
        config = replace(config, seed=seed)
        dataset = open_dataset(terms.data)
        if terms.budget_images is not None:
            images = terms.budget_images // stages
        else:
            assert terms.budget_seconds is not None, "a comparison counts one or the other"
            stream = dataset.stream("train", seed=config.seed)
            try:
                images = images_within(config, stream, terms.budget_seconds / stages, device=self._device)
            finally:
                stream.close()
        most = int(terms.max_epochs * dataset.num_images("train") / stages)
        images = max(config.training.batch_size, min(images, most))
        with torch.device("meta"):
            judged = judged and can_be_judged(config.model.build(dataset.spec))
        job = RunJob(
            name=run_name,
            runs=runs.uri,
            config=with_budget(config, images, looks=LOOKS),
            data=terms.data,
            data_digest=terms.data_digest,
            judging=replace(terms.judging, select=True) if judged else None,
            experiment=terms.experiment,
            parent=terms.name if terms.experiment else None,
            tags={"preset": self._entrant.preset, "seed": str(seed)},
        )
        create_run(job)
        return job

    def _entry(self, results: list[RunResult]) -> Entry:
        last = results[-1]
        entry = Entry(
            preset=self._entrant.preset,
            seed=self._entrant.seed,
            state="finished" if last.finished else "diverged" if last.diverged else "failed",
            error=_reason(last),
            images=sum(result.samples_seen for result in results),
            updates=sum(sum(result.updates.values()) for result in results),
            training_seconds=sum(result.seconds for result in results),
            device=str(self._device),
            threads=torch.get_num_threads(),
            evaluation=last.evaluation,
            bundle=last.bundle,
            selected_images=last.selected_images,
        )
        if last.bundle is None:
            return entry
        learner = load_bundle(last.bundle, device=self._device).learner
        entry = replace(entry, parameters=trained_parameters(learner))
        make = self._maker(learner)
        if make is None:
            return entry
        write_samples(self._folder, self._entrant.name, make(SHOWN))
        began = self._clock()
        sampled = len(make(TIMED))
        return replace(entry, sampling_seconds=self._clock() - began, sampled=sampled)

    def _maker(self, learner: Learner) -> Callable[[int], Tensor] | None:
        """What draws so many images, or translates so many sources of the judged split; None if it does neither."""
        if isinstance(learner, Samples):
            return lambda num: draw_samples(learner, num, seed=SAMPLE_SEED)
        if not isinstance(learner, Translates):
            return None
        sources = open_dataset(self._comparison.data).read(self._comparison.judging.split, limit=TIMED).sources
        assert sources is not None, "a model that translates is built for data with sources"
        return lambda num: translations(learner, sources[:num], seed=SAMPLE_SEED)


def trained_parameters(learner: Learner) -> int:
    """Numbers that training moves, a frozen foundation's included: the first stage moved them."""
    return sum(parameter.numel() for parameter in learner.parameters())


def _reason(result: RunResult) -> str | None:
    if result.diverged is not None:
        return f"{result.diverged['player']} diverged in round {result.diverged['round']}: {result.diverged['tensor']}"
    return None if result.finished else "it was stopped before its end"
