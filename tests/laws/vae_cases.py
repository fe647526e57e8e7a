"""Models of which the exact likelihood is known, for the laws of latent variable models."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from gen_dist.models.vae.latent import LatentVariableModel
from gen_dist.models.vae.vae import VAE, VAEConfig
from gen_dist.types import DataSpec

DOUBLE = torch.float64
SQUARE = DataSpec(channels=1, height=2, width=2)
NOISE = 0.3  # standard deviation of the linear-Gaussian model's pixels


def zero(model: nn.Module) -> None:
    """All weights 0: a Gaussian posterior is the prior, and the decoder ignores its latents."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()


def zeroed(model: VAE) -> VAE:
    zero(model)
    return model


def linear_weights() -> tuple[Tensor, Tensor, MultivariateNormal]:
    """Weight and bias of x = W z + b + noise, and the exact distribution of x.

    The columns of W are orthogonal, so that the exact posterior is diagonal.
    """
    weight = torch.linalg.qr(torch.randn(4, 2, dtype=DOUBLE)).Q * torch.tensor([0.8, 0.4], dtype=DOUBLE)
    bias = 0.1 * torch.randn(4, dtype=DOUBLE)
    covariance = weight @ weight.T + NOISE**2 * torch.eye(4, dtype=DOUBLE)
    return weight, bias, MultivariateNormal(bias, covariance)


def set_linear_decoder(model: LatentVariableModel, weight: Tensor, bias: Tensor) -> None:
    """The Gaussian decoder of `linear_weights`."""
    decoder = model.decoder[1]
    assert isinstance(decoder, nn.Linear)
    with torch.no_grad():
        decoder.weight.zero_()
        decoder.weight[:4], decoder.bias[:4] = weight, bias
        decoder.bias[4:] = math.log(NOISE)


def exact_posterior(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weight and bias of the exact posterior's mean, and its variances.

    N(S W'(x - b) / noise^2, S) with S = (I + W'W / noise^2)^-1.
    """
    variance = 1.0 / (1.0 + weight.square().sum(0) / NOISE**2)
    encode = variance[:, None] * weight.T / NOISE**2
    return encode, -encode @ bias, variance


def set_linear_encoder(model: LatentVariableModel, weight: Tensor, bias: Tensor) -> None:
    """The first four outputs of the encoder: mean and log-variance of the exact posterior."""
    encode, offset, variance = exact_posterior(weight, bias)
    encoder = model.encoder[1]
    assert isinstance(encoder, nn.Linear)
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.bias.zero_()
        encoder.weight[:2], encoder.bias[:2] = encode, offset
        encoder.bias[2:4] = variance.log()


def linear_gaussian() -> tuple[VAE, MultivariateNormal]:
    """A linear VAE at its optimum, and the exact distribution of its images."""
    model = VAEConfig(decoder="gaussian", hidden=(), latent_dim=2).build(SQUARE).double()
    weight, bias, exact = linear_weights()
    set_linear_encoder(model, weight, bias)
    set_linear_decoder(model, weight, bias)
    return model, exact


def as_images(values: Tensor) -> Tensor:
    """Vectors of four numbers as 2x2 images."""
    return values.reshape(-1, *SQUARE.shape)
