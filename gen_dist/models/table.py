"""The explicit table of families. A new family is one line here; nothing registers itself on import."""

from dataclasses import dataclass
from typing import Literal

from cattrs.strategies import configure_tagged_union

from gen_dist.models.autoregressive import gated_pixelcnn, pixelcnn
from gen_dist.models.baseline import gaussian, kernel_density, mixture, ppca
from gen_dist.models.boltzmann import rbm
from gen_dist.models.classifier import convnet
from gen_dist.models.flow import realnvp
from gen_dist.models.gan import dcgan
from gen_dist.models.paper import Paper
from gen_dist.models.vae import vae
from gen_dist.serialization import converter

Kind = Literal["autoregressive", "flow", "vae", "boltzmann", "markov", "gan", "classifier", "baseline", "composed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A row of the table: how a family is called, what kind it is, its configuration, and its source."""

    name: str
    kind: Kind
    config: type
    paper: Paper


FAMILIES: tuple[Family, ...] = (
    Family(name="dcgan", kind="gan", config=dcgan.DCGANConfig, paper=dcgan.PAPER),
    Family(name="vae", kind="vae", config=vae.VAEConfig, paper=vae.PAPER),
    Family(name="pixelcnn", kind="autoregressive", config=pixelcnn.PixelCNNConfig, paper=pixelcnn.PAPER),
    Family(
        name="gated-pixelcnn",
        kind="autoregressive",
        config=gated_pixelcnn.GatedPixelCNNConfig,
        paper=gated_pixelcnn.PAPER,
    ),
    Family(name="realnvp", kind="flow", config=realnvp.RealNVPConfig, paper=realnvp.PAPER),
    Family(name="rbm", kind="boltzmann", config=rbm.RBMConfig, paper=rbm.PAPER),
    Family(name="convnet", kind="classifier", config=convnet.ConvNetConfig, paper=convnet.PAPER),
    Family(name="gaussian", kind="baseline", config=gaussian.GaussianConfig, paper=gaussian.PAPER),
    Family(name="ppca", kind="baseline", config=ppca.PPCAConfig, paper=ppca.PAPER),
    Family(name="gaussian-mixture", kind="baseline", config=mixture.GaussianMixtureConfig, paper=mixture.PAPER),
    Family(
        name="kernel-density",
        kind="baseline",
        config=kernel_density.KernelDensityConfig,
        paper=kernel_density.PAPER,
    ),
)

AnyModelConfig = (
    dcgan.DCGANConfig
    | vae.VAEConfig
    | pixelcnn.PixelCNNConfig
    | gated_pixelcnn.GatedPixelCNNConfig
    | realnvp.RealNVPConfig
    | rbm.RBMConfig
    | convnet.ConvNetConfig
    | gaussian.GaussianConfig
    | ppca.PPCAConfig
    | mixture.GaussianMixtureConfig
    | kernel_density.KernelDensityConfig
)

_FAMILY_OF = {family.config: family for family in FAMILIES}

configure_tagged_union(
    AnyModelConfig, converter, tag_name="family", tag_generator=lambda config: _FAMILY_OF[config].name
)


def family_of(config: AnyModelConfig) -> Family:
    """The row that a configuration belongs to."""
    return _FAMILY_OF[type(config)]
