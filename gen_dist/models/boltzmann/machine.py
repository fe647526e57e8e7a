"""What Boltzmann machines over binary images share: scores up to log Z, and an estimate of log Z that is kept."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gen_dist.capabilities import LikelihoodKind
from gen_dist.learner import Learner
from gen_dist.losses.likelihood import binarise
from gen_dist.types import DataSpec, ImageBatch


class BoltzmannMachine(Learner):
    """p(v) = p*(v) / Z, where log Z is estimated by annealing from independent pixels with the data's frequencies.

    Args:
        data: what the images are.
    """

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.data = data
        # Log-odds of each pixel in the data: where annealing starts.
        self.register_buffer("base_bias", torch.zeros(data.num_dimensions))
        # Estimated by `finalise`; a deviation below 0 says that this has not happened yet.
        self.register_buffer("log_partition", torch.zeros(()))
        self.register_buffer("log_partition_deviation", -torch.ones(()))

    base_bias: Tensor
    log_partition: Tensor
    log_partition_deviation: Tensor

    @abstractmethod
    def log_unnormalised(self, visible: Float[Tensor, "b v"]) -> Float[Tensor, " b"]:
        """Log p*(v) of binary values, or a lower bound of it."""

    @abstractmethod
    def estimate_log_partition(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Log Z and its standard error, drawn anew."""

    @torch.no_grad()
    def finalise(self, batches: Sequence[ImageBatch]) -> None:
        """Estimate log Z and its standard error, so that images can be scored."""
        if batches:
            self.base_bias.copy_(log_odds(torch.cat([self.visible(batch.images) for batch in batches])))
        log_partition, error = self.estimate_log_partition()
        self.log_partition.copy_(log_partition)
        self.log_partition_deviation.copy_(error)

    @property
    def log_partition_error(self) -> Float[Tensor, ""]:
        """Standard error of the estimate of log Z in nats; below 0 before `finalise`."""
        return self.log_partition_deviation

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """Log Z is estimated."""
        return "estimate"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """The visible units are binary."""
        return "binary"

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Log p*(v) - log Z in nats, of images thresholded at 128; estimates log Z here if `finalise` has not yet."""
        log_partition = self.log_partition
        if self.log_partition_deviation < 0:
            log_partition = self.estimate_log_partition()[0].to(log_partition.dtype)
        return self.log_unnormalised(self.visible(images)) - log_partition

    def visible(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b v"]:
        """Binary values of images thresholded at 128."""
        return binarise(images, self.base_bias.dtype).flatten(1)


def log_odds(visible: Float[Tensor, "b v"]) -> Float[Tensor, " v"]:
    """Log-odds of each binary value, with one more 0 and one more 1 than there are, so that none is infinite."""
    return torch.logit((visible.sum(0) + 1.0) / (len(visible) + 2.0))
