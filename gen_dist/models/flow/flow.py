"""What all flows share: an invertible map from images to Gaussian noise gives a density, samples and latents.

A family gives `transform` and `inverse` between real values (logits of pixels, or pixels scaled to [-1, 1]) and
latents; the way from 8-bit images to those values and what follows from the change of variables stand here once.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from gen_dist.capabilities import LikelihoodKind
from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.losses.likelihood import bits_per_dimension, standard_normal_log_density
from gen_dist.models.solo import SoloConfig, solo_player
from gen_dist.types import DataSpec, ImageBatch

PixelScale = Literal["logit", "linear"]
MIN_ALPHA = 1e-7
"""255 plus noise just below 1 is rounded to 256, and then 1 - alpha must not be rounded to 1."""


@runtime_checkable
class FlowConfig(SoloConfig, Protocol):
    """What every flow's configuration says.

    Attributes:
        alpha: images are squeezed into [alpha, 1 - alpha] before the logit.
    """

    @property
    def alpha(self) -> float: ...


class Flow(Learner):
    """p(x) = p(f(x)) |det df/dx| for dequantised images x, with f = transform after `to_inputs`.

    Args:
        config: of the only player and of the logits.
        data: what the images are.
        pixel_scale: what `transform` reads: "logit", or "linear" for pixels scaled to [-1, 1].

    Raises:
        ValueError: alpha is too small for float32.
    """

    def __init__(self, config: FlowConfig, data: DataSpec, *, pixel_scale: PixelScale = "logit") -> None:
        super().__init__()
        if config.alpha < MIN_ALPHA:
            raise ValueError(f"model.alpha is {config.alpha}: below {MIN_ALPHA} white has no finite logit in float32")
        self.flow_config = config
        self.data = data
        self.pixel_scale = pixel_scale
        self.register_buffer("origin", torch.zeros(()), persistent=False)  # knows the dtype and device of the weights

    origin: Tensor

    @abstractmethod
    def transform(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, " b"]]:
        """Latents of `to_inputs`, and the log-determinant of the Jacobian."""

    @abstractmethod
    def inverse(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b c h w"]:
        """The values that `transform` maps to these latents."""

    def latent_log_density(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, " b"]:
        """Log-density of the prior; a hook for priors other than the standard normal."""
        return standard_normal_log_density(latents).sum(1)

    @property
    def players(self) -> Mapping[str, Player]:
        """The whole flow is one player, "model"."""
        return solo_player(self, self.flow_config)

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "likelihood"."""
        return (Phase(name="likelihood", player="model", signal=self.negative_log_likelihood),)

    def negative_log_likelihood(self, batch: ImageBatch, context: Context) -> Signal:
        """The negative log-likelihood of dequantised images, in bits per dimension of the 8-bit images."""
        nats = -self.log_density(self.dequantise(batch.images)).mean()
        return Loss(bits_per_dimension(nats, self.data.num_dimensions))

    def dequantise(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Values in [0, 256]: uniform noise in [0, 1) is added."""
        values = images.to(self.origin.dtype)
        return values + torch.rand_like(values)

    def to_inputs(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """What `transform` reads, of values in [0, 256], and the log-determinant."""
        if self.pixel_scale == "logit":
            return self.to_logits(values)
        return values / 128.0 - 1.0, values.new_full((len(values),), -self.data.num_dimensions * math.log(128.0))

    def from_inputs(self, inputs: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The values that `to_inputs` maps here."""
        return self.from_logits(inputs) if self.pixel_scale == "logit" else (inputs + 1.0) * 128.0

    def to_logits(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """Logits of values in [0, 256], and the log-determinant (arXiv:1605.08803, Sec. 4.1)."""
        alpha = self.flow_config.alpha
        probability = alpha + (1.0 - 2.0 * alpha) * values / 256.0
        logits = torch.logit(probability)
        slope = math.log((1.0 - 2.0 * alpha) / 256.0) + F.softplus(logits) + F.softplus(-logits)
        return logits, slope.flatten(1).sum(1)

    def from_logits(self, logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The values that `to_logits` maps here."""
        alpha = self.flow_config.alpha
        return (torch.sigmoid(logits) - alpha) * 256.0 / (1.0 - 2.0 * alpha)

    def log_density(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Log-density of dequantised images in [0, 256]; as bins have volume 1, a bound for 8-bit images as it is."""
        inputs, log_slope = self.to_inputs(values)
        latents, log_determinant = self.transform(inputs)
        return self.latent_log_density(latents) + log_determinant + log_slope

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """The density of dequantised images bounds the probability of 8-bit images from below (arXiv:1511.01844)."""
        return "lower bound"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """A flow models 8-bit images."""
        return "8-bit"

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Log-density of the images with uniform noise in [0, 1) added, in nats."""
        return self.log_density(self.dequantise(images))

    def encode(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b z"]:
        """Latents of the images at the centres of their bins."""
        return self.transform(self.to_inputs(images.to(self.origin.dtype) + 0.5)[0])[0]

    @torch.no_grad()
    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """Draws from the standard normal; a hook for other priors."""
        return torch.randn(num, self.data.num_dimensions, dtype=self.origin.dtype, device=self.origin.device)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "n z"]) -> UInt8[Tensor, "n c h w"]:
        """The images in whose bins these latents end.

        Raises:
            ValueError: a value is not a number, which no 8-bit pixel could show.
        """
        values = self.from_inputs(self.inverse(latents))
        broken = int(values.isnan().flatten(1).any(1).sum())
        if broken:
            raise ValueError(
                f"the inverse of this {type(self).__name__} overflowed for {broken} of {len(values)} images: draw at a "
                "lower temperature, or train it with a smaller learning rate"
            )
        return values.floor().clamp(0, 255).to(torch.uint8)

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Decode draws from the prior that are multiplied by `temperature`."""
        if condition is not None:
            raise ValueError(f"a condition was given: this {type(self).__name__} is unconditional")
        return self.decode(temperature * self.draw_latents(num))
