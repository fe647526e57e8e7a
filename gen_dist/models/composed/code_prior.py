"""VQ-VAE with its prior: a Gated PixelCNN learns how a trained VQ-VAE's codes follow one another, so that it can draw.

Paper: A. van den Oord, O. Vinyals, K. Kavukcuoglu (2017), Neural Discrete Representation Learning, arXiv:1711.00937,
Sec. 3.3; the network is that of arXiv:1606.05328.

Departures: the VQ-VAE is a run of its own whose weights stay as they are; images are encoded as they come, so nothing
is stored; the prior may be told the class.

| symbol | name here |
|---|---|
| q(z given x), one code map per image | `VQVAE.codes` |
| p(z) | `log_prior` |
| log p(x) >= log p(x given z) + log p(z) (Sec. 3.2) | `log_probability` |
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from gen_dist.capabilities import ConditionKind, LikelihoodKind
from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.losses.likelihood import bits_per_dimension
from gen_dist.models.autoregressive.gated_pixelcnn import GatedPredictor
from gen_dist.models.autoregressive.outputs import Softmax
from gen_dist.models.autoregressive.raster import draw_in_raster_order
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.labels import labels_of, labels_to_draw
from gen_dist.models.solo import solo_player
from gen_dist.models.vae import vqvae
from gen_dist.models.vae.vqvae import VQVAE, VQVAEConfig
from gen_dist.nn.gated import GatedNetwork
from gen_dist.nn.incremental_gated import IncrementalGatedNetwork
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch

PAPER = vqvae.PAPER

_FOUNDATION = VQVAEConfig()
_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class CodePriorConfig:
    """Settings of the prior.

    Attributes:
        foundation: the VQ-VAE; a new run takes all of it from the bundle that it builds on.
        class_conditional: whether the prior is told each image's class, so that it can draw a class.
        embedding_dim: features that stand for a code at the network's input.
        features: feature maps of each stack of the network.
        num_blocks: gated blocks after the first.
        first_kernel_size: of the first block, which hides the code itself; odd.
        kernel_size: of the other blocks; odd.
        output_features: feature maps of the 1x1 layer before the output.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    foundation: VQVAEConfig = _FOUNDATION
    class_conditional: bool = False
    embedding_dim: int = 16
    features: int = 48
    num_blocks: int = 4
    first_kernel_size: int = 3
    kernel_size: int = 3
    output_features: int = 64
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "embedding_dim", "features", "output_features")
        if self.num_blocks < 0:
            raise ValueError(f"model.num_blocks is {self.num_blocks}: it must be 0 or more")
        for name in ("first_kernel_size", "kernel_size"):
            size = getattr(self, name)
            if size < 3 or size % 2 == 0:
                raise ValueError(f"model.{name} is {size}: it must be odd and at least 3, to see a neighbour")

    def build(self, data: DataSpec) -> "CodePrior":
        """A freshly initialised prior over the codes of a VQ-VAE that is still to be filled."""
        if self.class_conditional and not data.num_classes:
            raise ValueError("model.class_conditional is True: it must be False for images without labels")
        return CodePrior(self, data)


@final
class CodePrior(Learner):
    """An autoregressive model of the code maps of a frozen VQ-VAE."""

    def __init__(self, config: CodePriorConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.data = data
        self.num_classes = data.num_classes if config.class_conditional else 0
        self.foundation = config.foundation.build(data).requires_grad_(False)
        num_codes = config.foundation.num_codes
        self.distribution = Softmax(num_colours=1, num_values=num_codes)
        self.embedding = nn.Embedding(num_codes, config.embedding_dim)
        self.network = GatedNetwork(
            config.embedding_dim,
            config.features,
            config.num_blocks,
            num_codes,
            num_colours=1,
            num_conditions=self.num_classes,
            first_kernel_size=config.first_kernel_size,
            kernel_size=config.kernel_size,
            output_features=config.output_features,
        )

    @property
    def players(self) -> Mapping[str, Player]:
        """The prior is the only player, "model"; the VQ-VAE inside it is frozen."""
        return solo_player(self, self.config)

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "prior"."""
        return (Phase(name="prior", player="model", signal=self.negative_log_prior),)

    @property
    def condition_kind(self) -> ConditionKind:
        """Images are drawn for labels by a class-conditional prior only."""
        return "label" if self.num_classes else "none"

    def negative_log_prior(self, batch: ImageBatch, context: Context) -> Signal:
        """The negative log-probability of the images' codes, in bits per code: log2 K for codes without any order."""
        labels = labels_of(batch, self.num_classes)
        codes = self.codes(batch.images)
        return Loss(bits_per_dimension(-self.log_prior(codes, labels).mean(), codes[0].numel()))

    @torch.no_grad()
    def codes(self, images: UInt8[Tensor, "b c h w"]) -> Int64[Tensor, "b i j"]:
        """The codes of images."""
        with torch.autocast(images.device.type, enabled=False):  # the same codes whatever the prior's precision
            return self.foundation.codes(images)

    def log_prior(self, codes: Int64[Tensor, "b i j"], labels: Int64[Tensor, " b"] | None) -> Float[Tensor, " b"]:
        """Log p(z) in nats; labels are None exactly for an unconditional prior."""
        inputs = self.embedding(codes).permute(0, 3, 1, 2)
        outputs: Tensor = self.network(inputs, self._condition(labels))
        logits = outputs.to(self.embedding.weight.dtype)
        return self.distribution.log_probability(logits, codes[:, None]).flatten(1).sum(1)

    @property
    def first_stage(self) -> VQVAE:
        """The VQ-VAE whose codes are modelled."""
        return self.foundation

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """One term of the sum over all code maps."""
        return "lower bound"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """What the VQ-VAE's decoder is over."""
        return self.foundation.likelihood_of

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Log p(x given z) + log p(z) in nats, z the image's own codes; p(z) mixes the classes in equal shares."""
        codes = self.codes(images)
        likelihood = self.foundation.log_likelihood(images, codes)
        if not self.num_classes:
            return likelihood + self.log_prior(codes, None)
        each = [
            self.log_prior(codes, torch.full((len(codes),), label, device=codes.device))
            for label in range(self.num_classes)
        ]
        return likelihood + torch.logsumexp(torch.stack(each), 0) - math.log(self.num_classes)

    @torch.no_grad()
    def draw_codes(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> Int64[Tensor, "n i j"]:
        """Draw code maps; `condition` holds labels, drawn in equal shares when left out."""
        device = self.embedding.weight.device
        labels = labels_to_draw(num, condition, self.num_classes, device)
        height, width = self.foundation.code_shape
        stepped = IncrementalGatedNetwork(self.network, num, height, width, condition=self._condition(labels))
        codes = torch.zeros(num, 1, height, width, dtype=torch.int64, device=device)
        predictor = GatedPredictor(stepped, lambda values: self.embedding(values[:, 0]))
        draw_in_raster_order(codes, predictor, self.distribution, temperature=temperature)
        return codes[:, 0]

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Draw codes, then take the mean of the decoder's distribution."""
        return self.foundation.decode_codes(self.draw_codes(num, condition=condition, temperature=temperature))

    def encode(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b z"]:
        """The quantised vectors of the VQ-VAE, flat."""
        return self.foundation.encode(images)

    @torch.no_grad()
    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """The vectors of drawn codes, flat."""
        return self.foundation.codebook.look_up(self.draw_codes(num)).flatten(1)

    def decode(self, latents: Float[Tensor, "n z"]) -> UInt8[Tensor, "n c h w"]:
        """The images of such vectors."""
        return self.foundation.decode(latents)

    def _condition(self, labels: Int64[Tensor, " b"] | None) -> Float[Tensor, "b k"] | None:
        return None if labels is None else F.one_hot(labels, self.num_classes).to(self.embedding.weight.dtype)
