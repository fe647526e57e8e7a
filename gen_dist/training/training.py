"""A run in memory: it advances by rounds, reports what it measured, and can be copied out for evaluation."""

import copy
import time
from typing import final

import torch

from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.distributed.world import World
from gen_dist.learner import Learner, ModelConfig
from gen_dist.training.autopsy import first_non_finite
from gen_dist.training.clock import Clock
from gen_dist.training.curriculum import Curriculum, Span
from gen_dist.training.meters import Meters
from gen_dist.training.precision import autocast_dtype
from gen_dist.training.round import RoundSettings, decode_failure, train_round
from gen_dist.training.settings import TrainingConfig
from gen_dist.training.state import TrainingState
from gen_dist.types import ImageBatch, ImageSource, Moment

Row = dict[str, float]  # one report: the clock, updates per player, averaged metrics

_FINALISE_BATCHES = 16


class Diverged(RuntimeError):  # noqa: N818 - a result, not an error
    """A player's gradient was not finite. A result to be read, not a crash: the state is as it was before that step.

    Attributes:
        phase: name of the phase.
        player: who should have moved.
        round: number of the round.
        repeat: repeat of the phase inside the round.
        tensor: the first tensor of that step that was not finite, e.g. "output of critic.3 (Conv2d)".
    """

    def __init__(self, *, phase: str, player: str, round: int, repeat: int, tensor: str) -> None:  # noqa: A002
        super().__init__(
            f"{player} diverged in phase {phase!r}, round {round}, repeat {repeat}: first non-finite tensor is {tensor}"
        )
        self.phase, self.player, self.round, self.repeat, self.tensor = phase, player, round, repeat, tensor

    def facts(self) -> dict[str, str | int]:
        """The same, as plain values for ledgers and tags."""
        names = ("phase", "player", "round", "repeat", "tensor")
        return {name: getattr(self, name) for name in names}


@final
class Training:
    """One worker's part of a run.

    Args:
        model: what to build; every worker builds the same weights from the seed.
        settings: of the loop.
        seed: of the run: weights, noise and data order all follow from it.
        stream: the training images.
        world: the workers.
        device: where this worker computes.
        clock: what the time spent training is counted with.
    """

    def __init__(
        self,
        model: ModelConfig,
        settings: TrainingConfig,
        seed: int,
        stream: ImageSource,
        *,
        world: World | None = None,
        device: torch.device | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        if settings.num_threads:
            torch.set_num_threads(settings.num_threads)
        self.settings = settings
        self.seed = seed
        self.stream = stream
        self.device = torch.device("cpu") if device is None else device
        self.world = World(device=self.device) if world is None else world
        self.curriculum = Curriculum(settings)
        self.curriculum.check_workers(self.world)
        with seeded(seed_for("initialise", seed)):
            learner = model.build(stream.spec)
        self.state = TrainingState(learner, self.device, fused=settings.fused, channels_last=settings.channels_last)
        self.state.moment = self.curriculum.moment(round=0, samples_seen=0)
        self.history: list[Row] = []
        self.seconds = 0.0  # spent training so far, over all incarnations of the run
        self._clock = clock
        self._meters = Meters()
        self._precision = autocast_dtype(settings.precision, self.device)
        self._recent: dict[int, Moment] = {}

    @property
    def moment(self) -> Moment:
        """The clock of the run."""
        return self.state.moment

    @property
    def span(self) -> Span:
        """The stage that the run is in."""
        return self.curriculum.spans[self.moment.stage]

    @property
    def micro_batches(self) -> range:
        """Those of this worker."""
        return self.world.share(self.span.num_micro_batches)

    @property
    def finished(self) -> bool:
        """Whether the run has drawn all its images; without phases, whether it is prepared."""
        return self.moment.samples_seen >= (self.settings.images if self.state.phases else 1)

    def start(self) -> None:
        """Let the learner initialise itself from data. For a fresh run only; a restored one has done it before."""
        wanted = self.state.learner.preparation_images
        size = self.span.batch_size if wanted is None else min(wanted, self.stream.num_images)
        with seeded(seed_for("prepare", self.seed)), torch.no_grad():
            self.state.learner.prepare(self._on_device(self.stream.take(0, size)))
        if not self.state.phases:
            self.state.moment = Moment(round=1, samples_seen=size, stage_progress=1.0)

    def advance(self) -> Row:
        """Train until the next report is due, which one is at the end of every stage, then read what was measured.

        Raises:
            Diverged: a gradient was not finite; nothing has moved since.
        """
        began = self._clock()
        if self.moment.round == 0:
            self.start()
        self._recent.clear()
        due = self.settings.rounds_per_report - self.moment.round % self.settings.rounds_per_report
        stage = self.moment.stage
        while due and not self.finished and self.moment.stage == stage:
            self._round()
            due -= 1
        metrics = self._meters.read()
        self.seconds += self._clock() - began
        failure = int(self.state.failure)
        if failure >= 0:
            raise self._diverged(failure)
        self._enter(stage)
        row = {
            "round": float(self.moment.round),
            "samples_seen": float(self.moment.samples_seen),
            "seconds": self.seconds,
            **{f"updates/{player}": float(count) for player, count in self.state.updates.items()},
            **({"stage": float(stage)} if self.settings.stages else {}),
            **metrics,
        }
        self.history.append(row)
        return row

    def evaluation_copy(self) -> Learner:
        """The learner as it is judged: averaged weights, finalised, in evaluation mode. The run itself is untouched."""
        learner = copy.deepcopy(self.state.learner)
        self.state.ema.copy_to(learner)
        learner.stop_clock(self.moment)
        size = min(self.span.batch_size, self.stream.num_images)
        batches = [self._on_device(self.stream.take(i * size, size)) for i in range(_FINALISE_BATCHES)]
        with seeded(seed_for("finalise", self.seed, self.moment.round)), torch.no_grad():
            learner.finalise(batches)
        learner.eval()
        learner.requires_grad_(False)
        return learner

    def skip_to(self, stage: int) -> None:
        """Move the clock to the start of a later stage without training, as a measurement of its speed does."""
        before, moment = self.moment.stage, self.moment
        start = self.curriculum.spans[stage].start
        self.state.moment = self.curriculum.moment(round=moment.round, samples_seen=max(moment.samples_seen, start))
        self._enter(before)

    def _enter(self, before: int) -> None:
        """Get ready for the stage that the clock has moved to from `before`; what was measured is known to be sound."""
        if self.moment.stage == before:
            return
        if self.curriculum.resets(before, self.moment.stage):
            self.state.reset_optimizers()
        if self.curriculum.spans[before].micro_batch_shape != self.span.micro_batch_shape:
            self.state.memory.clear()

    @property
    def _round_settings(self) -> RoundSettings:
        return self._settings_of(self.span)

    def _settings_of(self, span: Span) -> RoundSettings:
        return RoundSettings(
            seed=self.seed,
            num_micro_batches=span.num_micro_batches,
            precision=self._precision,
            gradient_clip_norm=self.settings.gradient_clip_norm,
        )

    def _round(self) -> None:
        """Train one round and move the clock."""
        moment = self.moment
        self._recent[moment.round] = moment
        train_round(
            self.state,
            lambda repeat, m: self._draw(moment, repeat, m),
            moment,
            settings=self._round_settings,
            world=self.world,
            meters=self._meters,
        )
        self.state.moment = self.curriculum.moment(
            round=moment.round + 1,
            samples_seen=moment.samples_seen + self._repeats(moment) * self.span.batch_size,
        )

    def _repeats(self, moment: Moment) -> int:
        """How many global batches a round draws."""
        return max(phase.repeats_at(moment) for phase in self.state.phases)

    def _draw(self, moment: Moment, repeat: int, m: int) -> ImageBatch:
        """A micro-batch's images; the slice that this worker needs next is prepared meanwhile."""
        span = self.curriculum.spans[moment.stage]
        batch = self.stream.take(*_slice(span, moment.samples_seen, repeat, m))
        following = m + self.world.size
        if following < span.num_micro_batches:
            self.stream.prefetch(*_slice(span, moment.samples_seen, repeat, following))
        elif repeat + 1 < self._repeats(moment):
            self.stream.prefetch(*_slice(span, moment.samples_seen, repeat + 1, self.world.rank))
        else:
            start = moment.samples_seen + (repeat + 1) * span.batch_size
            self.stream.prefetch(*_slice(self.curriculum.at(start), start, 0, self.world.rank))
        return self._on_device(batch)

    def _on_device(self, batch: ImageBatch) -> ImageBatch:
        layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        return batch.to(self.device, layout)

    def _diverged(self, code: int) -> Diverged:
        """Say what broke. Since then nothing has moved, so the failing step can be repeated and looked into."""
        round_number, index, repeat = decode_failure(code, self.state.phases)
        moment = self._recent[round_number]
        span = self.curriculum.spans[moment.stage]
        mine = first_non_finite(
            self.state,
            index,
            lambda m: self._draw(moment, repeat, m),
            moment,
            repeat,
            settings=self._settings_of(span),
            micro_batches=self.world.share(span.num_micro_batches),
        )
        findings = [self.world.tell(mine, source=rank) for rank in range(self.world.size)]
        tensor = next((finding for finding in findings if finding), "none: the sum over the micro-batches overflowed")
        phase = self.state.phases[index]
        return Diverged(phase=phase.name, player=phase.player, round=round_number, repeat=repeat, tensor=tensor)


def _slice(span: Span, samples_seen: int, repeat: int, m: int) -> tuple[int, int]:
    """Where a micro-batch's images begin in the stream, and how many they are."""
    size = span.batch_size // span.num_micro_batches
    return samples_seen + repeat * span.batch_size + m * size, size
