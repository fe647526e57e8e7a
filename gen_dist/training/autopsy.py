"""After a divergence: repeat the failing step, which the frozen state still allows, and find what broke first."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from gen_dist.distributed.seeding import seed_for, seed_torch
from gen_dist.learner import Context
from gen_dist.training.round import RoundSettings, autocast
from gen_dist.training.state import TrainingState
from gen_dist.types import ImageBatch, Moment


def first_non_finite(
    state: TrainingState,
    index: int,
    draw: Callable[[int], ImageBatch],
    moment: Moment,
    repeat: int,
    *,
    settings: RoundSettings,
    micro_batches: Iterable[int],
) -> str | None:
    """Name of the first tensor that is not finite when phase `index` is computed again, or None.

    A weight comes first, then the outputs of layers in the order in which they run, then the phase's metrics, then
    gradients from the last parameter to the first (the order of the backward pass).
    """
    for name, parameter in state.learner.named_parameters():
        if not _finite(parameter):
            return f"weight {name}"
    phase = state.phases[index]
    before = state.buffers.values()
    for m in micro_batches:
        parameters = state.clear_gradients(phase.player, moment)
        state.buffers.restore(before)
        seed_torch(seed_for("noise", settings.seed, index, moment.round, repeat, m))
        context = Context(moment, repeat, m, copy.copy(state.memory.get(m, {})))
        with _watch_outputs(state.learner) as findings, autocast(state.device, settings.precision):
            signal = phase.signal(draw(m), context)
        findings += [f"metric {phase.name}/{name}" for name, value in signal.metrics.items() if not _finite(value)]
        signal.deposit(parameters, 1.0 / settings.num_micro_batches)
        names = {parameter: name for name, parameter in state.learner.named_parameters()}
        findings += [
            f"gradient of {names[parameter]}"
            for parameter in reversed(parameters)
            if parameter.grad is not None and not _finite(parameter.grad)
        ]
        state.buffers.restore(before)
        if findings:
            return findings[0]
    return None


@contextmanager
def _watch_outputs(learner: nn.Module) -> Iterator[list[str]]:
    """Collect the names of layers whose output is not finite, in the order in which they run."""
    findings: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, _inputs: object, output: object) -> None:
            tensors = output if isinstance(output, tuple) else (output,)
            if any(isinstance(tensor, Tensor) and not _finite(tensor) for tensor in tensors):
                findings.append(f"output of {name} ({type(module).__name__})")

        return hook

    # An inner layer ends before the one that contains it, so the innermost culprit is named first.
    handles = [module.register_forward_hook(watch(name)) for name, module in learner.named_modules()]
    try:
        yield findings
    finally:
        for handle in handles:
            handle.remove()


def _finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())
