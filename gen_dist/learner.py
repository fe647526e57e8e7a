"""What a family of models owes the training loop, and nothing more.

A *learner* is one module that owns every network of a generative model. It names its *players* (networks that move
together under one optimizer) and the *phases* of one training round (who moves, on what signal, how often). The loop
in `gen_dist/training/round.py` is the only code that calls `backward` and `step`.

What a learner can do beyond training is said in `gen_dist/capabilities.py`.

A learner never asks how many workers there are. Its signal sees one micro-batch and draws all its randomness from
torch's global generator, which the loop seeds for that micro-batch; so any number of workers trains the same model.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.optimization import CONSTANT, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, Moment


@dataclass(frozen=True, slots=True)
class Context:
    """Where a signal is computed.

    Attributes:
        moment: the clock.
        repeat: which repeat of its phase this is, from 0.
        micro_batch: which part of the global batch this is, from 0.
        memory: tensors that belong to this micro-batch (persistent chains, image pools). It goes where the
            micro-batch goes and is checkpointed. An entry keeps its shape and dtype once it is written, until a stage
            begins whose micro-batches are other ones.
    """

    moment: Moment
    repeat: int
    micro_batch: int
    memory: dict[str, Tensor]


@runtime_checkable
class Signal(Protocol):
    """What one micro-batch says about how a player should move.

    Attributes:
        metrics: detached scalars for people to read; averaged over all micro-batches.
        statistics: detached tensors for `Learner.settle`; averaged over all micro-batches.
    """

    @property
    def metrics(self) -> Mapping[str, Tensor]: ...
    @property
    def statistics(self) -> Mapping[str, Tensor]: ...
    def deposit(self, parameters: Sequence[nn.Parameter], weight: float) -> None:
        """Add `weight` times the gradient to `.grad` of `parameters` and of nothing else; None counts as zero."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A differentiable scalar. Players that it only flows through keep their gradients clean."""

    value: Float[Tensor, ""]
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    statistics: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", {"loss": self.value.detach(), **self.metrics})

    def deposit(self, parameters: Sequence[nn.Parameter], weight: float) -> None:
        # One micro-batch is the usual case, and two small kernels are worth saving.
        torch.autograd.backward(self.value if weight == 1.0 else self.value * weight, inputs=list(parameters))


@dataclass(frozen=True, slots=True)
class Gradient:
    """A gradient that was estimated without autograd, as in contrastive divergence."""

    values: Mapping[nn.Parameter, Tensor]
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    statistics: Mapping[str, Tensor] = field(default_factory=dict)

    def deposit(self, parameters: Sequence[nn.Parameter], weight: float) -> None:
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.add_(self.values[parameter], alpha=weight)


@dataclass(frozen=True, kw_only=True, slots=True)
class Player:
    """Networks that move together under one optimizer.

    Attributes:
        module: owner of the parameters that move. No parameter belongs to two players.
        optimizer: which optimizer, with its learning rate.
        schedule: factor on the learning rate as a function of the moment.
        ema_decay: decay per step of the exponential moving average that is evaluated instead of the weights, or
            None for none. Early steps use the smaller (1 + step) / (10 + step).
    """

    module: nn.Module
    optimizer: OptimizerConfig
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One player's turn in a round.

    Attributes:
        name: prefix of its metrics, unique among the learner's phases.
        player: who moves.
        signal: bound method of the learner, or of a part of it, that maps a micro-batch to a `Signal`.
        repeats: steps per round. Repeat 0 sees the round's batch, each further repeat draws a fresh one.
        every: the phase is due in rounds whose number is a multiple of this.
    """

    name: str
    player: str
    signal: Callable[[ImageBatch, Context], Signal]
    repeats: int | Callable[[Moment], int] = 1
    every: int = 1

    def repeats_at(self, moment: Moment) -> int:
        """Steps that this phase takes in the round at `moment`; 0 when it is not due."""
        if moment.round % self.every:
            return 0
        return self.repeats if isinstance(self.repeats, int) else self.repeats(moment)


class Learner(nn.Module, ABC):
    """A generative model (or a classifier) as the loop sees it.

    Everything that training changes is a parameter of a player or a *persistent* buffer: those are synchronised,
    checkpointed and masked when a step is not finite. A constant (a mask, a fixed basis) is a non-persistent buffer.
    """

    @property
    @abstractmethod
    def players(self) -> Mapping[str, Player]:
        """The players by name, in a fixed order."""

    @property
    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases of one round, in the order in which they run."""

    @property
    def preparation_images(self) -> int | None:
        """How many training images `prepare` wants (it gets no more than there are); None for one global batch."""
        return None

    def prepare(self, batch: ImageBatch) -> None:
        """Initialise from data, once, before the first round; every worker passes the same batch.

        A learner without phases is fitted when this returns: a baseline that has a closed form.
        """
        return

    def active(self, player: str, moment: Moment) -> list[nn.Parameter]:
        """The parameters that move now: the same list, in the same order, on every worker."""
        return [p for p in self.players[player].module.parameters() if p.requires_grad]

    def settle(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """After a player's step, with the same input on every worker: move codebooks, anchors; clip weights.

        It may change persistent buffers, and may project parameters provided that projecting twice changes nothing.
        """
        return

    def stop_clock(self, moment: Moment) -> None:
        """Prepare a copy for use without a clock, before `finalise`: keep in persistent buffers what it needs to know.

        Only a learner whose outputs depend on the moment has something to keep: the size that it has grown to.
        """
        return

    def finalise(self, batches: Sequence[ImageBatch]) -> None:
        """Prepare a copy for evaluation, e.g. re-estimate batch-norm statistics; `batches` are training images."""
        return


@runtime_checkable
class ModelConfig(Protocol):
    """The configuration of one family: a frozen dataclass beside the learner that it builds."""

    def build(self, data: DataSpec) -> Learner:
        """A freshly initialised learner for such data; randomness comes from torch's global generator.

        Raises:
            ValueError: the data does not suit the model (say, an image size that the network can't make).
        """
        ...
