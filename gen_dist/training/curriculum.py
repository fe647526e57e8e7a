"""Stages of a run: which one it is in, as a pure function of the images seen, and what that stage trains with.

    images seen   0 ------------- a ---------------------- b ------------------ c
    stage         |       0       |           1            |         2          |
    rounds        |----|----|----|--'--|-----|-----|-----|-'---|-----|-----|----|

A round never straddles two stages: it belongs to the one in which it begins. So a stage ends with the first round that
reaches its last image or passes it (the ticks above), and the next one is shorter by what was drawn too many. A stage
that a single round passes over is left out. Without stages a run is one stage.
"""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from gen_dist.distributed.world import World
from gen_dist.training.settings import Stage, TrainingConfig
from gen_dist.types import Moment


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """One stage with its place on the clock, and with the run's own settings where it has none.

    Attributes:
        start: images seen when it begins, or a little more.
        images: its length.
        batch_size: images in one global batch.
        num_micro_batches: parts of that batch.
        reset_optimizers: whether all optimizers start it as if they had never moved.
    """

    start: int
    images: int
    batch_size: int
    num_micro_batches: int
    reset_optimizers: bool

    @property
    def micro_batch_shape(self) -> tuple[int, int]:
        """How many micro-batches there are, and of how many images each: what their memories depend on."""
        return self.num_micro_batches, self.batch_size // self.num_micro_batches


@final
class Curriculum:
    """The stages of a run in their order.

    Args:
        settings: of the loop.
    """

    def __init__(self, settings: TrainingConfig) -> None:
        stages = settings.stages or (Stage(images=settings.images),)
        starts = itertools.accumulate((stage.images for stage in stages), initial=0)
        self.images = settings.images
        self.spans = tuple(
            Span(
                start=start,
                images=stage.images,
                batch_size=stage.batch_size or settings.batch_size,
                num_micro_batches=stage.num_micro_batches or settings.num_micro_batches,
                reset_optimizers=stage.reset_optimizers,
            )
            for stage, start in zip(stages, starts, strict=False)
        )
        self._starts = [span.start for span in self.spans]

    def moment(self, *, round: int, samples_seen: int) -> Moment:  # noqa: A002
        """The clock when so many rounds have drawn so many images."""
        stage = bisect.bisect_right(self._starts, samples_seen) - 1
        span = self.spans[stage]
        return Moment(
            round=round,
            samples_seen=samples_seen,
            stage=stage,
            stage_progress=min(1.0, (samples_seen - span.start) / span.images),
            stages_left=len(self.spans) - 1 - stage,
        )

    def at(self, samples_seen: int) -> Span:
        """What a round trains with that begins when so many images have been seen."""
        return self.spans[bisect.bisect_right(self._starts, samples_seen) - 1]

    def resets(self, before: int, after: int) -> bool:
        """Whether optimizers start anew on the way from one stage to a later one."""
        return any(span.reset_optimizers for span in self.spans[before + 1 : after + 1])

    def check_workers(self, world: World) -> None:
        """Raise ValueError, which names the setting, if some stage has fewer micro-batches than there are workers."""
        for index, span in enumerate(self.spans):
            stage = f"training.stages[{index}]" if len(self.spans) > 1 else "training"
            world.share(span.num_micro_batches, setting=f"{stage}.num_micro_batches")


def stretched(settings: TrainingConfig, images: int) -> TrainingConfig:
    """The same run over another number of images: each stage keeps its share.

    Raises:
        ValueError: there are fewer images than stages.
    """
    return replace(settings, images=images, stages=stretched_stages(settings.stages, images))


def stretched_stages(stages: Sequence[Stage], images: int) -> tuple[Stage, ...]:
    """The stages with the same shares of another number of images, to which their own add up.

    Raises:
        ValueError: there are fewer images than stages.
    """
    if images < len(stages):
        raise ValueError(f"training.images is {images}: each of the {len(stages)} stages needs at least one")
    total, end, seen = sum(stage.images for stage in stages), 0, 0
    lengths = []
    for left, stage in zip(range(len(stages) - 1, -1, -1), stages, strict=True):
        seen += stage.images
        # Rounded on the whole clock, so that errors don't add up; an image is left for each stage to come.
        before, end = end, min(max(round(seen * images / total), end + 1), images - left)
        lengths.append(end - before)
    return tuple(replace(stage, images=length) for stage, length in zip(stages, lengths, strict=True))
