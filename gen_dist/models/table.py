"""The explicit table of families. A new family is one line here; nothing registers itself on import."""

from dataclasses import dataclass
from typing import Literal

from cattrs.strategies import configure_tagged_union

from gen_dist.models.autoregressive import (
    gated_pixelcnn,
    made,
    multiscale,
    nade,
    pixelcnn,
    pixelcnn_plus_plus,
    pixelrnn,
)
from gen_dist.models.baseline import gaussian, kernel_density, mixture, ppca
from gen_dist.models.boltzmann import dbm, rbm
from gen_dist.models.classifier import convnet, matcher
from gen_dist.models.composed import code_prior, text_to_image
from gen_dist.models.flow import ffjord, glow, nice, realnvp
from gen_dist.models.gan import biggan, conditional, cyclegan, dcgan, original, pix2pix, progressive, resnet
from gen_dist.models.markov import gsn
from gen_dist.models.paper import Paper
from gen_dist.models.vae import autoencoder, gumbel, iaf, iwae, mixture_posterior, vae, vqvae
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
    Family(name="gan", kind="gan", config=original.OriginalGANConfig, paper=original.PAPER),
    Family(name="resnet-gan", kind="gan", config=resnet.ResNetGANConfig, paper=resnet.PAPER),
    Family(name="conditional-gan", kind="gan", config=conditional.ConditionalGANConfig, paper=conditional.PAPER),
    Family(name="pix2pix", kind="gan", config=pix2pix.Pix2PixConfig, paper=pix2pix.PAPER),
    Family(name="cyclegan", kind="gan", config=cyclegan.CycleGANConfig, paper=cyclegan.PAPER),
    Family(name="biggan", kind="gan", config=biggan.BigGANConfig, paper=biggan.PAPER),
    Family(name="progressive", kind="gan", config=progressive.ProgressiveConfig, paper=progressive.PAPER),
    Family(name="vae", kind="vae", config=vae.VAEConfig, paper=vae.PAPER),
    Family(name="iwae", kind="vae", config=iwae.IWAEConfig, paper=iwae.PAPER),
    Family(name="vae-mixture", kind="vae", config=mixture_posterior.MixtureVAEConfig, paper=mixture_posterior.PAPER),
    Family(name="vae-iaf", kind="vae", config=iaf.IAFVAEConfig, paper=iaf.PAPER),
    Family(name="gumbel-vae", kind="vae", config=gumbel.GumbelVAEConfig, paper=gumbel.PAPER),
    Family(name="autoencoder", kind="vae", config=autoencoder.AutoencoderConfig, paper=autoencoder.PAPER),
    Family(name="vqvae", kind="vae", config=vqvae.VQVAEConfig, paper=vqvae.PAPER),
    Family(name="vqvae-prior", kind="composed", config=code_prior.CodePriorConfig, paper=code_prior.PAPER),
    Family(name="text-to-image", kind="composed", config=text_to_image.TextToImageConfig, paper=text_to_image.PAPER),
    Family(name="pixelcnn", kind="autoregressive", config=pixelcnn.PixelCNNConfig, paper=pixelcnn.PAPER),
    Family(
        name="gated-pixelcnn",
        kind="autoregressive",
        config=gated_pixelcnn.GatedPixelCNNConfig,
        paper=gated_pixelcnn.PAPER,
    ),
    Family(name="multiscale", kind="autoregressive", config=multiscale.MultiScaleConfig, paper=multiscale.PAPER),
    Family(
        name="pixelcnn-plus-plus",
        kind="autoregressive",
        config=pixelcnn_plus_plus.PixelCNNPlusPlusConfig,
        paper=pixelcnn_plus_plus.PAPER,
    ),
    Family(name="pixelrnn", kind="autoregressive", config=pixelrnn.PixelRNNConfig, paper=pixelrnn.PAPER),
    Family(name="nade", kind="autoregressive", config=nade.NADEConfig, paper=nade.PAPER),
    Family(name="made", kind="autoregressive", config=made.MADEConfig, paper=made.PAPER),
    Family(name="nice", kind="flow", config=nice.NICEConfig, paper=nice.PAPER),
    Family(name="realnvp", kind="flow", config=realnvp.RealNVPConfig, paper=realnvp.PAPER),
    Family(name="glow", kind="flow", config=glow.GlowConfig, paper=glow.PAPER),
    Family(name="ffjord", kind="flow", config=ffjord.FFJORDConfig, paper=ffjord.PAPER),
    Family(name="rbm", kind="boltzmann", config=rbm.RBMConfig, paper=rbm.PAPER),
    Family(name="dbm", kind="boltzmann", config=dbm.DBMConfig, paper=dbm.PAPER),
    Family(name="gsn", kind="markov", config=gsn.GSNConfig, paper=gsn.PAPER),
    Family(name="convnet", kind="classifier", config=convnet.ConvNetConfig, paper=convnet.PAPER),
    Family(name="matcher", kind="classifier", config=matcher.MatcherConfig, paper=matcher.PAPER),
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
    | original.OriginalGANConfig
    | resnet.ResNetGANConfig
    | conditional.ConditionalGANConfig
    | pix2pix.Pix2PixConfig
    | cyclegan.CycleGANConfig
    | biggan.BigGANConfig
    | progressive.ProgressiveConfig
    | vae.VAEConfig
    | iwae.IWAEConfig
    | mixture_posterior.MixtureVAEConfig
    | iaf.IAFVAEConfig
    | gumbel.GumbelVAEConfig
    | autoencoder.AutoencoderConfig
    | vqvae.VQVAEConfig
    | code_prior.CodePriorConfig
    | text_to_image.TextToImageConfig
    | pixelcnn.PixelCNNConfig
    | pixelrnn.PixelRNNConfig
    | nade.NADEConfig
    | made.MADEConfig
    | gated_pixelcnn.GatedPixelCNNConfig
    | multiscale.MultiScaleConfig
    | pixelcnn_plus_plus.PixelCNNPlusPlusConfig
    | nice.NICEConfig
    | realnvp.RealNVPConfig
    | glow.GlowConfig
    | ffjord.FFJORDConfig
    | rbm.RBMConfig
    | dbm.DBMConfig
    | gsn.GSNConfig
    | convnet.ConvNetConfig
    | matcher.MatcherConfig
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
