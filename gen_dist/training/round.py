"""One training round: the only place in the package that calls `backward` (through a signal) and `step`.

The micro-batch is the unit of meaning. Its data, noise, dropout and batch statistics depend on (seed, phase, round,
repeat, micro-batch) and never on the worker that computes it; every micro-batch of a step starts from the same
buffers, and what it changes in them is averaged afterwards, together with the gradient, in one all-reduce. So any
number of workers trains the same model.

Nothing here waits for the device. Whether a gradient was finite stays a flag on the device that masks the step; it is
read late, together with the metrics (see `gen_dist/training/training.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from gen_dist.distributed.seeding import seed_for, seed_torch
from gen_dist.distributed.world import World
from gen_dist.learner import Context, Phase
from gen_dist.training.buffers import Buffers
from gen_dist.training.masking import masked_step
from gen_dist.training.meters import Meters
from gen_dist.training.state import TrainingState
from gen_dist.types import ImageBatch, Moment

Draw = Callable[[int, int], ImageBatch]  # (repeat, micro-batch) -> that part of the round's data, on the device


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RoundSettings:
    """What a round needs to know beyond the state that it changes.

    Attributes:
        seed: of the run.
        num_micro_batches: parts of the global batch, over all workers.
        precision: autocast dtype of the networks.
        gradient_clip_norm: largest gradient norm of a step, or None.
    """

    seed: int
    num_micro_batches: int
    precision: torch.dtype
    gradient_clip_norm: float | None


def train_round(
    state: TrainingState, draw: Draw, moment: Moment, *, settings: RoundSettings, world: World, meters: Meters
) -> None:
    """Walk the phases that are due: each steps its player `repeats` times, every time on a fresh global batch."""
    for index, phase in enumerate(state.phases):
        for repeat in range(phase.repeats_at(moment)):
            step_phase(state, index, draw, moment, repeat, settings=settings, world=world, meters=meters)


def step_phase(
    state: TrainingState,
    index: int,
    draw: Draw,
    moment: Moment,
    repeat: int,
    *,
    settings: RoundSettings,
    world: World,
    meters: Meters,
) -> None:
    """One step of one player: deposit, average, mask, step, settle."""
    phase = state.phases[index]
    parameters = state.clear_gradients(phase.player, moment)
    before = state.buffers.values()
    memory = {m: dict(state.memory.get(m, {})) for m in world.share(settings.num_micro_batches)}

    averages = Averages(state.buffers, before, settings.num_micro_batches)
    for number, (m, remembered) in enumerate(memory.items()):
        if number:  # every micro-batch starts from the buffers that the first one saw; counters so advance once
            state.buffers.restore(before)
        seed_torch(seed_for("noise", settings.seed, index, moment.round, repeat, m))
        context = Context(moment, repeat, m, remembered)
        with autocast(state.device, settings.precision):
            signal = phase.signal(draw(repeat, m), context)
        signal.deposit(parameters, 1.0 / settings.num_micro_batches)
        averages.add(signal.metrics, signal.statistics)

    gradients = state.gradients_of(parameters)
    world.sum_([*gradients, *averages.tensors()])
    averages.write_buffers()
    gradient_norm = _norm(gradients)
    state.note_failure(gradient_norm, code=_failure_code(state, index, moment, repeat))
    if settings.gradient_clip_norm is not None:
        scale = (settings.gradient_clip_norm / (gradient_norm + 1e-12)).clamp(max=1.0)
        torch._foreach_mul_(gradients, scale)

    player = state.players[phase.player]
    optimizer = state.optimizers[phase.player]
    for group in optimizer.param_groups:
        group["lr"] = player.optimizer.learning_rate * player.schedule.factor(moment)
    masked_step(optimizer, state.halted)
    with torch.no_grad():
        state.learner.settle(phase.player, averages.statistics)
    state.buffers.restore_where(state.halted, before)
    state.remember(memory)
    state.updates[phase.player] += 1
    state.ema.update(phase.player, state.updates[phase.player], state.halted)
    meters.add(phase.name, {**averages.metrics, "gradient_norm": gradient_norm})


@final
class Averages:
    """Running averages over the micro-batches of one step: metrics, statistics, and the *change* of every buffer.

    Averaging the change and not the value keeps a buffer that did not change exactly as it was.
    """

    def __init__(self, buffers: Buffers, before: Sequence[Tensor], num_micro_batches: int) -> None:
        self.buffers = buffers.floats
        self.before = before[: len(buffers.floats)]
        self.weight = 1.0 / num_micro_batches
        self.metrics: dict[str, Tensor] = {}
        self.statistics: dict[str, Tensor] = {}
        # A single micro-batch leaves the buffers as they should be: there is nothing to average.
        self.changes = [torch.zeros_like(buffer) for buffer in self.buffers] if num_micro_batches > 1 else []

    def add(self, metrics: Mapping[str, Tensor], statistics: Mapping[str, Tensor]) -> None:
        """Take in what one micro-batch measured."""
        for totals, values in ((self.metrics, metrics), (self.statistics, statistics)):
            parts = [value.detach() for value in values.values()]
            if parts and self.weight != 1.0:
                parts = list(torch._foreach_mul(parts, self.weight))
            for name, weighted in zip(values, parts, strict=True):
                totals[name] = totals[name] + weighted if name in totals else weighted
        if self.changes:
            for change, buffer, value in zip(self.changes, self.buffers, self.before, strict=True):
                change.add_(buffer - value, alpha=self.weight)

    def tensors(self) -> list[Tensor]:
        """Everything that has to be summed over the workers, in the same order on each."""
        named = [self.metrics[name] for name in sorted(self.metrics)]
        named += [self.statistics[name] for name in sorted(self.statistics)]
        return [*self.changes, *named]

    def write_buffers(self) -> None:
        """Set the buffers to the average over all micro-batches."""
        if self.changes:
            for buffer, value, change in zip(self.buffers, self.before, self.changes, strict=True):
                torch.add(value, change, out=buffer)


def _norm(gradients: Sequence[Tensor]) -> Tensor:
    """Norm of all gradients together; not finite as soon as one entry is not."""
    norms: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients))))
    return norms


def _failure_code(state: TrainingState, index: int, moment: Moment, repeat: int) -> int:
    return (moment.round * len(state.phases) + index) * MAX_REPEATS + repeat


MAX_REPEATS = 10_000


def decode_failure(code: int, phases: Sequence[Phase]) -> tuple[int, int, int]:
    """(round, phase index, repeat) of a failure code."""
    rest, repeat = divmod(code, MAX_REPEATS)
    return rest // len(phases), rest % len(phases), repeat


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast | nullcontext[None]:
    """The context in which a signal is computed; penalties leave it by themselves."""
    if precision == torch.float32 or precision == torch.float64:
        return nullcontext()
    return torch.autocast(device.type, precision)
