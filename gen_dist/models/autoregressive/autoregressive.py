"""What all autoregressive families share: one network says the distribution of every value given the earlier ones.

A family gives `predict` for whole images (training, scoring) and may give a `predictor` that draws faster than calling
the network once per pixel; both must say the same.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, final

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from gen_dist.capabilities import ConditionKind, LikelihoodKind
from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.losses.likelihood import binarise, bits_per_dimension
from gen_dist.models.autoregressive.outputs import PixelDistribution
from gen_dist.models.autoregressive.raster import PixelPredictor, draw_in_raster_order
from gen_dist.models.labels import labels_of, labels_to_draw
from gen_dist.models.solo import SoloConfig, solo_player
from gen_dist.types import DataSpec, ImageBatch, to_signed


class Autoregressive(Learner):
    """p(x) is the product of p(x_i given x_<i), i in raster order, red before green before blue.

    Args:
        config: of the only player.
        data: what the images are.
        distribution: of a pixel, given the network's outputs.
        num_classes: of a class-conditional model; 0 for an unconditional one.
    """

    def __init__(
        self, config: SoloConfig, data: DataSpec, distribution: PixelDistribution, *, num_classes: int = 0
    ) -> None:
        super().__init__()
        self.solo_config = config
        self.data = data
        self.distribution = distribution
        self.num_classes = num_classes
        self.register_buffer("origin", torch.zeros(()), persistent=False)  # knows the dtype and device of the weights

    origin: Tensor

    @abstractmethod
    def predict(self, inputs: Float[Tensor, "b c h w"], labels: Int64[Tensor, " b"] | None) -> Float[Tensor, "b o h w"]:
        """Parameters of every pixel's distribution, given the earlier values of `inputs`, which lie in [-1, 1].

        `labels` are None exactly for an unconditional model.
        """

    def predictor(self, num: int, labels: Int64[Tensor, " b"] | None) -> PixelPredictor:
        """What draws `num` images pixel by pixel; by default the whole network for each pixel."""
        return WholeNetwork(self, labels)

    @property
    def players(self) -> Mapping[str, Player]:
        """The whole network is one player, "model"."""
        return solo_player(self, self.solo_config)

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "likelihood"."""
        return (Phase(name="likelihood", player="model", signal=self.negative_log_likelihood),)

    @property
    def condition_kind(self) -> ConditionKind:
        """Images are drawn for labels by a class-conditional model only."""
        return "label" if self.num_classes else "none"

    def negative_log_likelihood(self, batch: ImageBatch, context: Context) -> Signal:
        """The exact negative log-likelihood in bits per dimension, given the labels if the model is conditional."""
        nats = -self.conditional_log_probability(batch.images, labels_of(batch, self.num_classes)).mean()
        return Loss(bits_per_dimension(nats, self.data.num_dimensions))

    def outputs(self, images: UInt8[Tensor, "b c h w"], labels: Int64[Tensor, " b"] | None) -> Float[Tensor, "b o h w"]:
        """`predict` for 8-bit images, in the dtype of the weights."""
        inputs = network_input(images, self.likelihood_of, self.origin.dtype)
        return self.predict(inputs, labels).to(self.origin.dtype)

    def conditional_log_probability(
        self, images: UInt8[Tensor, "b c h w"], labels: Int64[Tensor, " b"] | None
    ) -> Float[Tensor, " b"]:
        """The sum of the conditionals' log-probabilities in nats, differentiable."""
        return self.distribution.log_probability(self.outputs(images, labels), images).flatten(1).sum(1)

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """A product of conditionals is exact."""
        return "exact"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """What the distribution is over."""
        return self.distribution.likelihood_of

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Log-probability in nats; of a conditional model, that of the mixture of its classes in equal shares."""
        if not self.num_classes:
            return self.conditional_log_probability(images, None)
        each = self._pixels_by_class(images).flatten(2).sum(2)
        return torch.logsumexp(each, 0) - math.log(self.num_classes)

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Draw value by value; `condition` holds labels, drawn in equal shares when left out."""
        labels = labels_to_draw(num, condition, self.num_classes, self.origin.device)
        images = torch.zeros(num, *self.data.shape, dtype=torch.uint8, device=self.origin.device)
        draw_in_raster_order(images, self.predictor(num, labels), self.distribution, temperature=temperature)
        return images

    @torch.no_grad()
    def complete(
        self, images: UInt8[Tensor, "b c h w"], num_rows: int, *, temperature: float = 1.0
    ) -> UInt8[Tensor, "b c h w"]:
        """The images with all rows from number `num_rows` on drawn anew, given those above.

        A conditional model draws each image's class first, from the classes' probabilities given the known rows.
        """
        completed = images.clone()
        if self.likelihood_of == "binary":
            completed = (255 * binarise(images)).to(torch.uint8)
        labels: Tensor | None = None
        if self.num_classes:
            of_known_rows = self._pixels_by_class(images)[:, :, :num_rows].flatten(2).sum(2)
            labels = torch.multinomial(of_known_rows.T.softmax(1).contiguous(), 1)[:, 0]
        predictor = self.predictor(len(images), labels)
        draw_in_raster_order(completed, predictor, self.distribution, first_row=num_rows, temperature=temperature)
        return completed

    def _pixels_by_class(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "k b h w"]:
        """Log-probability of every pixel given each class in turn, in nats."""
        labels = torch.arange(self.num_classes, device=images.device)[:, None].expand(-1, len(images))
        return torch.stack([self.distribution.log_probability(self.outputs(images, same), images) for same in labels])


@final
class WholeNetwork:
    """The plain way to draw: the whole network for each pixel. Slow; what faster ways are tested against."""

    def __init__(self, learner: Autoregressive, labels: Int64[Tensor, " b"] | None) -> None:
        self.learner, self.labels = learner, labels

    def pixel(self, values: UInt8[Tensor, "b c h w"], row: int, column: int) -> Float[Tensor, "b o"]:
        """Outputs at a pixel, of which nothing is kept."""
        return self.learner.outputs(values, self.labels)[:, :, row, column]


def network_input(
    images: UInt8[Tensor, "*shape"], likelihood_of: Literal["8-bit", "binary"], dtype: torch.dtype
) -> Float[Tensor, "*shape"]:
    """Values in [-1, 1]: thresholded first for a model of binary images."""
    return 2.0 * binarise(images, dtype) - 1.0 if likelihood_of == "binary" else to_signed(images, dtype)
