"""What a learner can do beyond training, one small protocol each.

Evaluation, pictures and serving ask for a capability and never for a family.
"""

from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, UInt8
from torch import Tensor

from gen_dist.learner import Learner


@runtime_checkable
class Samples(Protocol):
    """Can draw new images."""

    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Draw `num` images in evaluation mode from torch's global generator (see `gen_dist.sampling`)."""
        ...


LikelihoodKind = Literal["exact", "lower bound", "estimate"]


@runtime_checkable
class Scores(Protocol):
    """Can say how probable an image is.

    Attributes:
        likelihood_kind: what `log_probability` returns.
        likelihood_of: "8-bit" images, or "binary" images thresholded at 128.
    """

    @property
    def likelihood_kind(self) -> LikelihoodKind: ...
    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]: ...
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Log-probability of each image in nats; what is drawn to estimate it comes from torch's global generator."""
        ...


@runtime_checkable
class EstimatesPartition(Protocol):
    """Scores with a partition function that it estimates, and knows how well.

    Attributes:
        log_partition_error: standard error of the estimated log Z, in nats; below 0 when it is not estimated yet. All
            images of a split share it: it does not average out.
    """

    @property
    def log_partition_error(self) -> Float[Tensor, ""]: ...


@runtime_checkable
class Encodes(Protocol):
    """Can map images to latent vectors."""

    def encode(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b z"]:
        """Latents, differentiable in the weights: who needs no gradient switches autograd off."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Can map latent vectors to images."""

    def draw_latents(self, num: int) -> Float[Tensor, "n z"]: ...
    def decode(self, latents: Float[Tensor, "n z"]) -> UInt8[Tensor, "n c h w"]: ...


@runtime_checkable
class Completes(Protocol):
    """Can continue images whose upper rows are given."""

    def complete(
        self, images: UInt8[Tensor, "b c h w"], num_rows: int, *, temperature: float = 1.0
    ) -> UInt8[Tensor, "b c h w"]:
        """The images with all rows from number `num_rows` on drawn anew, given those above."""
        ...


@runtime_checkable
class Truncates(Protocol):
    """Can draw latents without their tails: better images that are more alike (the truncation trick)."""

    def truncated(self, threshold: float) -> Learner:
        """The same weights, not a copy of them, drawing within a positive threshold; infinity is the model as it is."""
        ...


ConditionKind = Literal["none", "label", "caption"]


@runtime_checkable
class Conditions(Protocol):
    """Samples for a condition: `Samples.sample` takes one row per image.

    Attributes:
        condition_kind: "label", classes (n,) of int64; "caption", UTF-8 bytes (n, l) filled up with zeros as in
            `ImageBatch.captions`; "none" when this configuration of the family takes no condition. Without a condition,
            `sample` draws one for each image by itself.
    """

    @property
    def condition_kind(self) -> ConditionKind: ...


@runtime_checkable
class Translates(Protocol):
    """Can make an image from another one (`ImageBatch.sources`)."""

    def translate(self, sources: UInt8[Tensor, "b s i j"]) -> UInt8[Tensor, "b c h w"]:
        """One image for each source, in evaluation mode; noise comes from torch's global generator."""
        ...


@runtime_checkable
class BuildsOn(Protocol):
    """Is the second run of a two-stage family: it holds the first run's model, frozen, and trains on what that makes.

    Attributes:
        first_stage: the first model. A fresh run fills it from a bundle (`RunConfig.foundation`) before it begins;
            checkpoints and bundles hold it, so neither needs the other bundle again. A property, and not the submodule
            itself: from Python 3.12 on `isinstance` does not see what a module keeps in its dictionary of submodules.
    """

    @property
    def first_stage(self) -> Learner: ...


@runtime_checkable
class Classifies(Protocol):
    """Can map images to class logits and to the features before them (an extractor for evaluation)."""

    def logits(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b k"]: ...
    def features(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b f"]: ...


@runtime_checkable
class Matches(Protocol):
    """Can say how well a caption fits an image. Captions are UTF-8 bytes as in `ImageBatch.captions`."""

    def match(self, images: UInt8[Tensor, "n c h w"], captions: UInt8[Tensor, "m l"]) -> Float[Tensor, "n m"]:
        """A score for every image with every caption; of two captions, the one that scores higher fits better."""
        ...

    def encode_captions(self, captions: UInt8[Tensor, "m l"]) -> Float[Tensor, "m e"]:
        """One vector for each caption, differentiable in the weights."""
        ...


CAPABILITIES: tuple[tuple[str, type], ...] = (
    ("samples", Samples),
    ("scores", Scores),
    ("encodes", Encodes),
    ("decodes", Decodes),
    ("completes", Completes),
    ("truncates", Truncates),
    ("translates", Translates),
    ("classifies", Classifies),
    ("matches", Matches),
)


def capabilities(learner: Learner) -> tuple[str, ...]:
    """Names of what a learner can do beyond training."""
    return tuple(name for name, protocol in CAPABILITIES if isinstance(learner, protocol))
