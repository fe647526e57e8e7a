"""Small matchers and text-to-image GANs, and captioned batches that are made up."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gen_dist.learner import Context, Learner, Loss
from gen_dist.models.classifier.matcher import Matcher, MatcherConfig
from gen_dist.models.composed.text_to_image import TextToImage, TextToImageConfig
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64
CAPTIONED = DataSpec(channels=3, height=8, width=8, caption_bytes=12)
MATCHER = MatcherConfig(
    channels=(8, 8), character_dim=5, text_channels=(6, 7), recurrent_dim=6, embedding_dim=4, max_shift=0
)
GAN = TextToImageConfig(
    foundation=MATCHER,
    latent_dim=5,
    text_dim=3,
    generator_channels=8,
    critic_channels=8,
    base_size=2,
    num_kept_captions=4,
    initial_std=None,
)
WORDS = ("red heart", "blue", "ñandú", "a", "green tree")


def caption_bytes(texts: Sequence[str], length: int = CAPTIONED.caption_bytes) -> Tensor:
    return torch.tensor([[*text.encode().ljust(length, b"\0")] for text in texts], dtype=torch.uint8)


def captioned(texts: Sequence[str] = WORDS) -> ImageBatch:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (len(texts), *CAPTIONED.shape), dtype=torch.uint8, generator=generator)
    return ImageBatch(images=images, captions=caption_bytes(texts))


def matcher_of(**changes: Any) -> Matcher:
    torch.manual_seed(1)
    return replace(MATCHER, **changes).build(CAPTIONED).double()


def gan_of(**changes: Any) -> TextToImage:
    torch.manual_seed(1)
    return replace(GAN, **changes).build(CAPTIONED).double()


def signal_of(learner: Learner, phase: str, batch: ImageBatch, seed: int = 3) -> Loss:
    torch.manual_seed(seed)
    signals = {p.name: p.signal for p in learner.phases}
    signal = signals[phase](batch, Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    return signal
