"""Multi-scale PixelCNN: a model of a subsampled image, and for each larger scale one of the pixels that are new there.

Paper: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu (2016), Pixel Recurrent Neural Networks, arXiv:1601.06759,
Sec. 3.6. With two scales, pixels of the small image (s) and those that the larger scale adds (.), in raster order:

    s . s .
    . . . .
    s . s .
    . . . .

Departures: gated convolutions instead of LSTM layers; the larger scale copies the pixels that it is given, where the
paper draws an image of which they are not a part, so the likelihood is that of the image itself, exactly; the scales,
which share no weights, train side by side in one run.

| symbol | name here |
|---|---|
| n x n image, s x s image subsampled from it | `Scale.stride` 1 and 2 |
| conditional network's upsampling, c x n x n map | `Upsampling`, `map_features` |
| bias that the map adds to each layer | `gen_dist.nn.gated.Conditioning` |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.capabilities import LikelihoodKind
from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.losses.likelihood import bits_per_dimension
from gen_dist.models.autoregressive.autoregressive import network_input
from gen_dist.models.autoregressive.gated_pixelcnn import GatedPredictor
from gen_dist.models.autoregressive.outputs import pixel_distribution
from gen_dist.models.autoregressive.raster import PixelPredictor, draw_in_raster_order
from gen_dist.models.checks import check_at_least_one, check_colours_divide, check_first_kernel
from gen_dist.models.paper import Paper
from gen_dist.nn.gated import GatedNetwork
from gen_dist.nn.incremental_gated import IncrementalGatedNetwork
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch

PAPER = Paper(
    title="Pixel Recurrent Neural Networks",
    authors="A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu",
    year=2016,
    arxiv="1601.06759",
)

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class MultiScaleConfig:
    """Settings of the networks, all scales alike.

    Attributes:
        likelihood: "softmax" over 256 values, or "bernoulli" over images that are thresholded at 128.
        num_scales: at most; each halves height and width, and an odd side ends it.
        features: feature maps of each stack; a multiple of the colours.
        num_blocks: gated blocks after the first.
        first_kernel_size: of the first block, which hides the pixel itself; odd.
        output_features: feature maps of the 1x1 layer before the output; a multiple of the colours.
        map_features: feature maps of the upsampled smaller image.
        map_layers: 3x3 convolutions over the smaller image before it is upsampled.
        optimizer: of every scale.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    likelihood: Literal["softmax", "bernoulli"] = "softmax"
    num_scales: int = 2
    features: int = 36
    num_blocks: int = 3
    first_kernel_size: int = 5
    output_features: int = 64
    map_features: int = 32
    map_layers: int = 2
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "num_scales", "features", "output_features", "map_features", "map_layers")
        if self.num_blocks < 0:
            raise ValueError(f"model.num_blocks is {self.num_blocks}: it must be 0 or more")
        check_first_kernel(self.first_kernel_size)

    def build(self, data: DataSpec) -> "MultiScale":
        """Freshly initialised networks; ValueError when the colours do not divide the feature maps."""
        check_colours_divide(data, features=self.features, output_features=self.output_features)
        return MultiScale(self, data)


@final
class Upsampling(nn.Module):
    """The smaller image as a map for every pixel of the larger one; each of four neighbours gets a different one."""

    def __init__(self, colours: int, features: int, num_layers: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(num_layers):
            layers += [nn.Conv2d(features if number else colours, features, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(features, features, 4, stride=2, padding=1), nn.ReLU())

    def forward(self, smaller: Float[Tensor, "b c h w"]) -> Float[Tensor, "b m 2*h 2*w"]:
        """Twice as high and wide."""
        upsampled: Tensor = self.layers(smaller)
        return upsampled


@final
class Scale(nn.Module):
    """Every `stride`-th row and column of an image, given every second of those; the smallest scale is given nothing.

    Args:
        config: of all scales.
        data: the whole image.
        stride: a power of two.
        smallest: whether there is no smaller scale.
    """

    def __init__(self, config: MultiScaleConfig, data: DataSpec, stride: int, *, smallest: bool) -> None:
        super().__init__()
        self.stride, self.smallest = stride, smallest
        self.shape = (data.channels, data.height // stride, data.width // stride)
        self.distribution = pixel_distribution(config.likelihood, data.channels)
        self.upsampling = None if smallest else Upsampling(data.channels, config.map_features, config.map_layers)
        self.network = GatedNetwork(
            data.channels,
            config.features,
            config.num_blocks,
            self.distribution.num_outputs,
            num_colours=data.channels,
            map_features=0 if smallest else config.map_features,
            first_kernel_size=config.first_kernel_size,
            output_features=config.output_features,
        )
        known = torch.zeros(self.shape[1:], dtype=torch.bool)
        if not smallest:
            known[::2, ::2] = True
        self.known: Tensor
        self.origin: Tensor  # knows the dtype and device of the weights
        self.register_buffer("known", known, persistent=False)
        self.register_buffer("origin", torch.zeros(()), persistent=False)

    @property
    def name(self) -> str:
        """Its size, for example "14x14"."""
        return f"{self.shape[1]}x{self.shape[2]}"

    @property
    def num_dimensions(self) -> int:
        """Number of values that this scale adds."""
        colours, height, width = self.shape
        return colours * height * width * (4 if self.smallest else 3) // 4

    def subsample(self, images: UInt8[Tensor, "b c height width"]) -> UInt8[Tensor, "b c h w"]:
        """The pixels of this scale, of a whole image."""
        return images[:, :, :: self.stride, :: self.stride]

    def negative_log_likelihood(self, batch: ImageBatch, context: Context) -> Signal:
        """Exact, in bits for each value that this scale adds."""
        return Loss(bits_per_dimension(-self.log_probability(batch.images).mean(), self.num_dimensions))

    def log_probability(self, images: UInt8[Tensor, "b c height width"]) -> Float[Tensor, " b"]:
        """Of what this scale adds to the smaller ones, in nats; differentiable."""
        pixels = self.subsample(images)
        outputs = self.network(self._input(pixels), None, self.condition_map(pixels)).to(self.origin.dtype)
        each = self.distribution.log_probability(outputs, pixels)
        return each.masked_fill(self.known, 0.0).flatten(1).sum(1)

    def condition_map(self, pixels: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b m h w"] | None:
        """What the network is told of the smaller scale's pixels, which are among `pixels`."""
        return None if self.upsampling is None else self.upsampling(self._input(pixels[:, :, ::2, ::2]))

    def predictor(self, pixels: UInt8[Tensor, "b c h w"]) -> PixelPredictor:
        """What draws the pixels that are not known, given those that are."""
        _, height, width = self.shape
        condition_map = self.condition_map(pixels)
        stepped = IncrementalGatedNetwork(self.network, len(pixels), height, width, condition_map=condition_map)
        return GatedPredictor(stepped, self._input)

    def _input(self, pixels: UInt8[Tensor, "..."]) -> Float[Tensor, "..."]:
        return network_input(pixels, self.distribution.likelihood_of, self.origin.dtype)


@final
class MultiScale(Learner):
    """The scales of an image, the smallest first."""

    def __init__(self, config: MultiScaleConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.data = data
        halvings = num_scales(data.height, data.width, config.num_scales) - 1
        self.scales = nn.ModuleList(
            Scale(config, data, 1 << halving, smallest=halving == halvings) for halving in reversed(range(halvings + 1))
        )

    @property
    def players(self) -> Mapping[str, Player]:
        """One for each scale, called by its size."""
        config = self.config
        return {
            scale.name: Player(
                module=scale, optimizer=config.optimizer, schedule=config.schedule, ema_decay=config.ema_decay
            )
            for scale in self._each()
        }

    @property
    def phases(self) -> Sequence[Phase]:
        """One for each scale; all see the same images."""
        return tuple(
            Phase(name=f"likelihood-{scale.name}", player=scale.name, signal=scale.negative_log_likelihood)
            for scale in self._each()
        )

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """The scales' pixels are disjoint and all of the image, so the chain rule is exact."""
        return "exact"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """What the distribution is over."""
        return "binary" if self.config.likelihood == "bernoulli" else "8-bit"

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """The sum over the scales, each given the smaller ones, in nats."""
        return torch.stack([scale.log_probability(images) for scale in self._each()]).sum(0)

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Draw the smallest scale, then fill in what each larger one adds; logits are divided by `temperature`."""
        if condition is not None:
            raise ValueError("a condition was given: this MultiScale is unconditional")
        smaller: Tensor | None = None
        for scale in self._each():
            pixels = torch.zeros(num, *scale.shape, dtype=torch.uint8, device=scale.origin.device)
            if smaller is not None:
                pixels[:, :, ::2, ::2] = smaller
            predictor = scale.predictor(pixels)
            draw_in_raster_order(pixels, predictor, scale.distribution, known=scale.known, temperature=temperature)
            smaller = pixels
        assert smaller is not None, "there is at least one scale"
        return smaller

    def _each(self) -> list[Scale]:
        return [cast(Scale, scale) for scale in self.scales]


def num_scales(height: int, width: int, at_most: int) -> int:
    """Scales of such an image: one more than the times that both sides can be halved evenly."""
    scales = 1
    while scales < at_most and (height >> (scales - 1)) % 2 == 0 and (width >> (scales - 1)) % 2 == 0:
        scales += 1
    return scales
