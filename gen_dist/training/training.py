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
        self.micro_batches = self.world.share(settings.num_micro_batches)
        with seeded(seed_for("initialise", seed)):
            learner = model.build(stream.spec)
        self.state = TrainingState(learner, self.device, fused=settings.fused, channels_last=settings.channels_last)
        self.history: list[Row] = []
        self.seconds = 0.0  # spent training so far, over all incarnations of the run
        self._clock = clock
        self._meters = Meters()
        self._round_settings = RoundSettings(
            seed=seed,
            num_micro_batches=settings.num_micro_batches,
            precision=autocast_dtype(settings.precision, self.device),
            gradient_clip_norm=settings.gradient_clip_norm,
        )
        self._recent: dict[int, Moment] = {}

    @property
    def moment(self) -> Moment:
        """The clock of the run."""
        return self.state.moment

    @property
    def finished(self) -> bool:
        """Whether the run has drawn all its images; without phases, whether it is prepared."""
        return self.moment.samples_seen >= (self.settings.images if self.state.phases else 1)

    def start(self) -> None:
        """Let the learner initialise itself from data. For a fresh run only; a restored one has done it before."""
        wanted = self.state.learner.preparation_images
        size = self.settings.batch_size if wanted is None else min(wanted, self.stream.num_images)
        with seeded(seed_for("prepare", self.seed)), torch.no_grad():
            self.state.learner.prepare(self._on_device(self.stream.take(0, size)))
        if not self.state.phases:
            self.state.moment = Moment(round=1, samples_seen=size, stage_progress=1.0)

    def advance(self) -> Row:
        """Train until the next report is due, then read what was measured.

        Raises:
            Diverged: a gradient was not finite; nothing has moved since.
        """
        began = self._clock()
        if self.moment.round == 0:
            self.start()
        self._recent.clear()
        due = self.settings.rounds_per_report - self.moment.round % self.settings.rounds_per_report
        while due and not self.finished:
            self._round()
            due -= 1
        metrics = self._meters.read()
        self.seconds += self._clock() - began
        failure = int(self.state.failure)
        if failure >= 0:
            raise self._diverged(failure)
        row = {
            "round": float(self.moment.round),
            "samples_seen": float(self.moment.samples_seen),
            "seconds": self.seconds,
            **{f"updates/{player}": float(count) for player, count in self.state.updates.items()},
            **metrics,
        }
        self.history.append(row)
        return row

    def evaluation_copy(self) -> Learner:
        """The learner as it is judged: averaged weights, finalised, in evaluation mode. The run itself is untouched."""
        learner = copy.deepcopy(self.state.learner)
        self.state.ema.copy_to(learner)
        size = min(self.settings.batch_size, self.stream.num_images)
        batches = [self._on_device(self.stream.take(i * size, size)) for i in range(_FINALISE_BATCHES)]
        with seeded(seed_for("finalise", self.seed, self.moment.round)), torch.no_grad():
            learner.finalise(batches)
        learner.eval()
        learner.requires_grad_(False)
        return learner

    def _round(self) -> None:
        """Train one round and move the clock."""
        moment = self.moment
        self._recent[moment.round] = moment
        repeats = max(phase.repeats_at(moment) for phase in self.state.phases)
        after = moment.samples_seen + repeats * self.settings.batch_size
        train_round(
            self.state,
            lambda repeat, m: self._draw(moment, repeat, m),
            moment,
            settings=self._round_settings,
            world=self.world,
            meters=self._meters,
        )
        self.state.moment = Moment(
            round=moment.round + 1,
            samples_seen=after,
            stage=moment.stage,
            stage_progress=min(1.0, after / self.settings.images),
        )

    def _slice(self, samples_seen: int, repeat: int, m: int) -> tuple[int, int]:
        size = self.settings.batch_size // self.settings.num_micro_batches
        return samples_seen + repeat * self.settings.batch_size + m * size, size

    def _draw(self, moment: Moment, repeat: int, m: int) -> ImageBatch:
        """A micro-batch's images; the slice that this worker needs next is prepared meanwhile."""
        batch = self.stream.take(*self._slice(moment.samples_seen, repeat, m))
        following = m + self.world.size
        if following < self.settings.num_micro_batches:
            self.stream.prefetch(*self._slice(moment.samples_seen, repeat, following))
        else:
            self.stream.prefetch(*self._slice(moment.samples_seen, repeat + 1, self.world.rank))
        return self._on_device(batch)

    def _on_device(self, batch: ImageBatch) -> ImageBatch:
        layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        return batch.to(self.device, layout)

    def _diverged(self, code: int) -> Diverged:
        """Say what broke. Since then nothing has moved, so the failing step can be repeated and looked into."""
        round_number, index, repeat = decode_failure(code, self.state.phases)
        moment = self._recent[round_number]
        mine = first_non_finite(
            self.state,
            index,
            lambda m: self._draw(moment, repeat, m),
            moment,
            repeat,
            settings=self._round_settings,
            micro_batches=self.micro_batches,
        )
        findings = [self.world.tell(mine, source=rank) for rank in range(self.world.size)]
        tensor = next((finding for finding in findings if finding), "none: the sum over the micro-batches overflowed")
        phase = self.state.phases[index]
        return Diverged(phase=phase.name, player=phase.player, round=round_number, repeat=repeat, tensor=tensor)
