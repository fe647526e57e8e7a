"""Small BigGANs for the tests of their mathematics."""

import torch

from gen_dist.models.gan.biggan import BigGAN, BigGANConfig
from gen_dist.types import DataSpec, ImageBatch

DOUBLE = torch.float64
GREY = DataSpec(channels=1, height=8, width=8, class_names=("a", "b", "c"))
TINY = BigGANConfig(
    latent_dim=6,
    embedding_dim=4,
    generator_channels=4,
    generator_multipliers=(2, 2, 1),
    critic_channels=4,
    critic_multipliers=(1, 2, 2),
    critic_halvings=2,
    attention_size=4,
    num_singular_values=2,
)


def biggan_of(config: BigGANConfig = TINY, data: DataSpec = GREY) -> BigGAN:
    """In float64, with attention that attends: its gain starts at 0."""
    torch.manual_seed(1)
    learner = config.build(data).double()
    with torch.no_grad():
        for name, parameter in learner.named_parameters():
            if name.endswith(".gain"):
                parameter.fill_(0.5)
    return learner


def labelled_batch(num: int, data: DataSpec = GREY) -> ImageBatch:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (num, *data.shape), dtype=torch.uint8, generator=generator)
    return ImageBatch(images=images, labels=torch.arange(num) % max(1, data.num_classes))
