"""How a run trains, whatever it trains."""

from dataclasses import dataclass

from gen_dist.training.precision import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A part of a run with settings of its own (see `gen_dist/training/curriculum.py`).

    Attributes:
        images: training images to draw before the stage ends, which it does with the round that reaches them.
        batch_size: images in one global batch; None for the run's own number.
        num_micro_batches: parts of that batch; None for the run's own number.
        reset_optimizers: whether the optimizers of all players start the stage as if they had never moved. Averages of
            weights go on.
    """

    images: int
    batch_size: int | None = None
    num_micro_batches: int | None = None
    reset_optimizers: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """Settings of the loop.

    Attributes:
        images: training images to draw before the run ends (every critic step draws a batch).
        batch_size: images in one global batch, over all workers.
        num_micro_batches: parts into which the global batch is cut. What a micro-batch contains, its noise and its
            batch statistics belong to it and not to a worker, so this number changes the mathematics of batch norm
            while the number of workers never does. It must be at least the number of workers; more than that is
            gradient accumulation.
        precision: "bfloat16" runs the networks under autocast; weights, penalties and optimizers stay in float32.
            "auto" is bfloat16 where the hardware has it, and float32 elsewhere (`gen_dist/training/precision.py`).
        channels_last: memory format of images and convolution weights.
        fused: use fused optimizers where they exist.
        gradient_clip_norm: largest gradient norm of a player's step, or None.
        rounds_per_report: rounds between two readings of metrics and of the finite flag.
        checkpoint_every_images: images between checkpoints, or None for none by images.
        checkpoint_every_seconds: wall time between checkpoints, or None for none by time.
        keep_checkpoints: how many complete checkpoints are kept.
        evaluate_every_images: images between evaluations during training, or None for only at the end, and at the end
            of each stage.
        num_threads: threads of each worker for CPU kernels; results are bit-equal only at equal counts. 0 leaves
            torch's own choice.
        stages: the curriculum, or () for none. Their images add up to `images`; an override of `training.images` alone
            stretches them.
    """

    images: int
    batch_size: int = 64
    num_micro_batches: int = 1
    precision: Precision = "float32"
    channels_last: bool = False
    fused: bool = True
    gradient_clip_norm: float | None = None
    rounds_per_report: int = 20
    checkpoint_every_images: int | None = None
    checkpoint_every_seconds: float | None = 300.0
    keep_checkpoints: int = 2
    evaluate_every_images: int | None = None
    num_threads: int = 0
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        for name in ("images", "batch_size", "num_micro_batches", "rounds_per_report", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name} is {getattr(self, name)}: it must be at least 1")
        _check_division("training", self.batch_size, self.num_micro_batches)
        for index, stage in enumerate(self.stages):
            self._check_stage(f"training.stages[{index}]", stage)
        total = sum(stage.images for stage in self.stages)
        if self.stages and total != self.images:
            raise ValueError(
                f"training.images is {self.images}, and the images of training.stages add up to {total}: give both "
                f"settings so that they agree, or training.images alone, to which the stages are stretched"
            )

    def _check_stage(self, name: str, stage: Stage) -> None:
        for field in ("images", "batch_size", "num_micro_batches"):
            value = getattr(stage, field)
            if value is not None and value < 1:
                raise ValueError(f"{name}.{field} is {value}: it must be at least 1")
        _check_division(name, stage.batch_size or self.batch_size, stage.num_micro_batches or self.num_micro_batches)


def _check_division(name: str, batch_size: int, num_micro_batches: int) -> None:
    if batch_size % num_micro_batches:
        raise ValueError(
            f"{name}.batch_size is {batch_size}, which {num_micro_batches} micro-batches ({name}.num_micro_batches) "
            "do not divide evenly"
        )
