"""Everything that training changes: what a checkpoint must hold, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from gen_dist.capabilities import BuildsOn
from gen_dist.learner import Learner
from gen_dist.optimization import build_optimizer
from gen_dist.training.buffers import Buffers
from gen_dist.training.ema import Ema
from gen_dist.types import Moment


@final
class TrainingState:
    """A learner with its optimizers, averages, memories, clock, and the flag that says whether it is still sound.

    Attributes:
        learner: on its device, in training mode.
        parameters: of each player, those included that do not move now, but not those that are frozen for good.
        optimizers: one per player.
        buffers: those that are kept, in one piece.
        ema: averaged weights.
        memory: what each micro-batch of this worker remembers, by its number.
        moment: the clock.
        updates: steps taken by each player.
        halted: boolean scalar on the device, raised for ever by the first gradient that is not finite.
        failure: integer scalar on the device: the code of that first failure, or -1.
    """

    def __init__(self, learner: Learner, device: torch.device, *, fused: bool, channels_last: bool) -> None:
        self.device = device
        self.learner = learner.to(device)
        if channels_last:
            self.learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learner.train()
        if isinstance(learner, BuildsOn):
            learner.first_stage.requires_grad_(False).eval()
        self.players = dict(learner.players)
        self.phases = tuple(learner.phases)
        self._check_contract()
        # Listed once: a walk through a module's tree takes as long as a small kernel.
        self.parameters = {
            name: [parameter for parameter in player.module.parameters() if parameter.requires_grad]
            for name, player in self.players.items()
        }
        self._some_rest = type(learner).active is not Learner.active
        self.optimizers = {
            name: build_optimizer(player.optimizer, self.parameters[name], fused=fused)
            for name, player in self.players.items()
        }
        self.ema = Ema(learner, self.players)
        persistent = learner.state_dict(keep_vars=True)
        self.buffers = Buffers([buffer for name, buffer in learner.named_buffers() if name in persistent])
        self.memory: dict[int, dict[str, Tensor]] = {}
        self.moment = Moment()
        self.updates = dict.fromkeys(self.players, 0)
        self.halted = torch.zeros((), dtype=torch.bool, device=device)
        self.failure = torch.full((), -1, dtype=torch.int64, device=device)

    def clear_gradients(self, player: str, moment: Moment) -> list[nn.Parameter]:
        """The parameters that move now. No parameter of the player has a gradient any more.

        So autograd's first gradient becomes `.grad` as it is: adding each to zeros would cost a kernel each.
        """
        parameters = self.parameters[player]
        for parameter in parameters:
            parameter.grad = None
        return self.learner.active(player, moment) if self._some_rest else parameters

    @staticmethod
    def gradients_of(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        """The gradient of each, zero for those that no loss reached: they move all the same, as do their moments.

        A gradient whose strides differ from a channels_last weight's makes fused optimizers silently wrong; autograd
        and `zeros_like` both keep them.
        """
        gradients = []
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        return gradients

    def note_failure(self, gradient_norm: Tensor, *, code: int) -> None:
        """Raise the flag, for ever, when a gradient norm is not finite; keep the code of the first failure."""
        sound = gradient_norm < torch.inf  # which NaN is not
        self.failure = torch.where(sound | self.halted, self.failure, code)
        self.halted = self.halted | ~sound

    def remember(self, memory: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Keep what the micro-batches wrote into their memories; old values stay where the flag is raised."""
        for m, entries in memory.items():
            old = self.memory.setdefault(m, {})
            for name, value in entries.items():
                value = value.detach()
                if name not in old:
                    old[name] = value
                    continue
                if old[name].shape != value.shape or old[name].dtype != value.dtype:
                    raise ValueError(
                        f"memory entry {name!r} changed from {old[name].dtype} {tuple(old[name].shape)} to "
                        f"{value.dtype} {tuple(value.shape)}: an entry keeps its dtype and shape once written"
                    )
                old[name] = torch.where(self.halted, old[name], value)

    def reset_optimizers(self) -> None:
        """Forget every player's moments and step counters, as if none had moved yet."""
        for optimizer in self.optimizers.values():
            optimizer.state.clear()

    def _check_contract(self) -> None:
        owners: dict[nn.Parameter, str] = {}
        for name, player in self.players.items():
            for parameter in player.module.parameters():
                if parameter in owners:
                    raise ValueError(
                        f"players {owners[parameter]!r} and {name!r} share a parameter; each needs its own"
                    )
                owners[parameter] = name
        for phase in self.phases:
            if phase.player not in self.players:
                raise ValueError(f"phase {phase.name!r} moves {phase.player!r}, which is not a player")
        if len({phase.name for phase in self.phases}) < len(self.phases):
            raise ValueError(f"phase names are not unique: {[phase.name for phase in self.phases]}")
