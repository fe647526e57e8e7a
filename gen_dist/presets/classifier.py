"""Classifiers, the feature extractors of the evaluation; and matchers, which judge captions and encode them."""

from gen_dist.config import RunConfig
from gen_dist.models.classifier.convnet import ConvNetConfig
from gen_dist.models.classifier.matcher import MatcherConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def convnet_8() -> RunConfig:
    """For 8x8 digits; 16 features, since the test split has few images."""
    images = 60_000
    return RunConfig(
        model=ConvNetConfig(
            channels=(32, 64),
            feature_dim=16,
            optimizer=Adam(learning_rate=3e-3, weight_decay=1e-2),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def convnet_28() -> RunConfig:
    """For 28x28 (and 32x32) images; 64 features."""
    images = 300_000
    return RunConfig(
        model=ConvNetConfig(
            channels=(32, 64, 128),
            first_stride=2,
            feature_dim=64,
            max_shift=2,
            optimizer=Adam(learning_rate=2e-3, weight_decay=1e-2),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=128, precision="auto", channels_last=True),
    )


def matcher_8() -> RunConfig:
    """For 8x8 images with short captions: for tests, and to see the machine run."""
    images = 60_000
    return RunConfig(
        model=MatcherConfig(
            channels=(32, 64),
            first_stride=1,
            character_dim=16,
            text_channels=(32,),
            recurrent_dim=64,
            embedding_dim=32,
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def matcher_28() -> RunConfig:
    """For 28x28 images with captions, each told from 127 others."""
    return _matcher(max_shift=2)


def matcher_32() -> RunConfig:
    """For 32x32 images with captions (glyphs, emoji), each told from 127 others."""
    return _matcher(max_shift=2)


def matcher_64() -> RunConfig:
    """For 64x64 images with captions; embeddings of 1024 numbers as in Reed et al. 2016 (arXiv:1605.05396)."""
    return _matcher(
        channels=(64, 128, 256, 512), text_channels=(384, 512, 256), recurrent_dim=256, embedding_dim=1024, max_shift=4
    )


def _matcher(
    *,
    channels: tuple[int, ...] = (32, 64, 128),
    text_channels: tuple[int, ...] = (96, 128),
    recurrent_dim: int = 128,
    embedding_dim: int = 64,
    max_shift: int,
) -> RunConfig:
    images = 600_000
    model = MatcherConfig(
        channels=channels,
        text_channels=text_channels,
        recurrent_dim=recurrent_dim,
        embedding_dim=embedding_dim,
        max_shift=max_shift,
        schedule=cosine(images),
    )
    training = TrainingConfig(images=images, batch_size=128, precision="auto", channels_last=True)
    return RunConfig(model=model, training=training)


PRESETS: tuple[Preset, ...] = (
    Preset(name="convnet-8", summary="classifier of 8x8 images (digits), 16 features, seconds", build=convnet_8),
    Preset(name="convnet-28", summary="classifier of 28x28 images, 64 features, minutes", build=convnet_28),
    Preset(name="matcher-8", summary="matcher of 8x8 images and captions, tiny", build=matcher_8),
    Preset(name="matcher-28", summary="matcher of 28x28 images and captions", build=matcher_28),
    Preset(name="matcher-32", summary="matcher of 32x32 images and captions (glyphs, emoji)", build=matcher_32),
    Preset(name="matcher-64", summary="matcher of 64x64 images and captions, for a GPU", build=matcher_64),
)
