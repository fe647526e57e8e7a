"""The one player of a family that trains as a whole: most families have one network (or two that move together)."""

from typing import Protocol, runtime_checkable

from gen_dist.learner import Learner, Player
from gen_dist.optimization import LearningRateSchedule, OptimizerConfig


@runtime_checkable
class SoloConfig(Protocol):
    """What a configuration says about its only player.

    Attributes:
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    @property
    def optimizer(self) -> OptimizerConfig: ...
    @property
    def schedule(self) -> LearningRateSchedule: ...
    @property
    def ema_decay(self) -> float | None: ...


def solo_player(learner: Learner, config: SoloConfig) -> dict[str, Player]:
    """The whole learner as one player, "model"."""
    player = Player(module=learner, optimizer=config.optimizer, schedule=config.schedule, ema_decay=config.ema_decay)
    return {"model": player}
