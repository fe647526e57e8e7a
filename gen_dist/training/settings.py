"""How a run trains, whatever it trains."""

from dataclasses import dataclass

from gen_dist.training.precision import Precision


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
        evaluate_every_images: images between evaluations during training, or None for only at the end.
        num_threads: threads of each worker for CPU kernels; results are bit-equal only at equal counts. 0 leaves
            torch's own choice.
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

    def __post_init__(self) -> None:
        for name in ("images", "batch_size", "num_micro_batches", "rounds_per_report", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name} is {getattr(self, name)}: it must be at least 1")
        if self.batch_size % self.num_micro_batches:
            raise ValueError(
                f"training.batch_size is {self.batch_size}, which {self.num_micro_batches} micro-batches "
                "(training.num_micro_batches) do not divide evenly"
            )
