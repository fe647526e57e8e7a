"""Exponential moving averages of weights: what is evaluated, sampled from and registered."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from gen_dist.learner import Learner, Player


@final
class Ema:
    """The averaged weights of every player that asks for them, by the learner's own names; frozen ones stay out."""

    def __init__(self, learner: Learner, players: Mapping[str, Player]) -> None:
        self.weights: dict[str, Tensor] = {}
        self._pairs: dict[str, tuple[float, list[Tensor], list[Tensor]]] = {}
        names = {parameter: name for name, parameter in learner.named_parameters()}
        for player_name, player in players.items():
            if player.ema_decay is None:
                continue
            current = [parameter for parameter in player.module.parameters() if parameter.requires_grad]
            averaged = [parameter.detach().clone() for parameter in current]
            self.weights |= {names[p]: average for p, average in zip(current, averaged, strict=True)}
            self._pairs[player_name] = (player.ema_decay, averaged, [p.detach() for p in current])

    @torch.no_grad()
    def update(self, player: str, step: int, halted: Tensor) -> None:
        """Move a player's averages towards its weights; nothing moves where `halted` is raised."""
        if player not in self._pairs:
            return
        decay, averaged, current = self._pairs[player]
        rate = torch.where(halted, 0.0, 1.0 - min(decay, (1 + step) / (10 + step)))
        rates = {dtype: rate.to(dtype) for dtype in {average.dtype for average in averaged}}
        torch._foreach_lerp_(averaged, current, [rates[average.dtype] for average in averaged])

    @torch.no_grad()
    def copy_to(self, learner: Learner) -> None:
        """Overwrite a learner's weights by the averages; players without averages keep theirs."""
        parameters = dict(learner.named_parameters())
        for name, average in self.weights.items():
            parameters[name].copy_(average)
