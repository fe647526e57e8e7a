"""Autoencoders: a linear one is principal component analysis; noise is what it says; latents have a place."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from vae_cases import DOUBLE

from gen_dist.capabilities import Decodes, Encodes, Samples, Scores
from gen_dist.learner import Context, Loss
from gen_dist.models.vae.autoencoder import Autoencoder, AutoencoderConfig
from gen_dist.types import DataSpec, ImageBatch, Moment, to_signed

TINY = DataSpec(channels=1, height=3, width=3)


def correlated_images(num: int) -> Tensor:
    """3x3 images with three directions of much, middling and little variance, and noise."""
    directions = torch.linalg.qr(torch.randn(9, 3, dtype=DOUBLE)).Q * torch.tensor([90.0, 50.0, 20.0], dtype=DOUBLE)
    values = 128.0 + torch.randn(num, 3, dtype=DOUBLE) @ directions.T + 4.0 * torch.randn(num, 9, dtype=DOUBLE)
    return values.round().clamp(0, 255).to(torch.uint8).reshape(num, *TINY.shape)


def loss_of(model: Autoencoder, images: Tensor) -> Loss:
    signal = model.squared_error(ImageBatch(images=images), Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    return signal


def test_a_linear_autoencoder_finds_the_subspace_of_principal_components() -> None:
    images = correlated_images(200)
    model = AutoencoderConfig(hidden=(), latent_dim=2).build(TINY).double()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, images).value
        loss.backward()
        return loss

    optimizer.step(closure)
    values = to_signed(images, DOUBLE).flatten(1)
    pca = PCA(n_components=2).fit(values.numpy())
    components = torch.from_numpy(pca.components_)
    decoder = model.decoder[1]
    assert isinstance(decoder, nn.Linear)
    basis = torch.linalg.qr(decoder.weight.detach()).Q
    torch.testing.assert_close(basis @ basis.T, components.T @ components, atol=1e-4, rtol=0.0)
    residual = float(np.square(values.numpy() - pca.inverse_transform(pca.transform(values.numpy()))).mean())
    assert float(loss_of(model, images).value.detach()) == pytest.approx(residual, rel=1e-6)


def corrupted(values: Tensor, **settings: Any) -> Tensor:
    return AutoencoderConfig(hidden=(4,), **settings).build(TINY).double().corrupt(values)


def test_masking_blackens_its_share_and_nothing_else() -> None:
    values = torch.full((4000, *TINY.shape), 0.5, dtype=DOUBLE)
    found = corrupted(values, noise="masking", noise_level=0.3)
    assert set(found.unique().tolist()) == {-1.0, 0.5}
    share = (found == -1.0).to(DOUBLE)
    assert abs(float(share.mean()) - 0.3) < 4.0 * (0.21 / 36_000) ** 0.5
    assert abs(float(torch.corrcoef(share.flatten(1).T)[0, 1])) < 4.0 / 4000**0.5, "each value is drawn by itself"


def test_gaussian_noise_has_its_deviation_and_no_mean() -> None:
    values = torch.linspace(-1.0, 1.0, 9, dtype=DOUBLE).reshape(1, *TINY.shape).expand(4000, -1, -1, -1)
    noise = corrupted(values, noise="gaussian", noise_level=0.2) - values
    assert abs(float(noise.mean())) < 4.0 * 0.2 / 36_000**0.5
    assert abs(float(noise.std()) / 0.2 - 1.0) < 4.0 / (2 * 36_000) ** 0.5


def test_without_noise_the_input_is_the_image() -> None:
    values = torch.randn(3, *TINY.shape, dtype=DOUBLE)
    assert torch.equal(corrupted(values), values)


@pytest.mark.parametrize("noise", ["none", "gaussian", "masking"])
def test_the_clean_image_is_the_target_and_only_training_sees_noise(noise: str) -> None:
    model = AutoencoderConfig(hidden=(4,), latent_dim=2, noise=noise, noise_level=0.4).build(TINY).double()
    images = torch.randint(0, 256, (6, *TINY.shape), dtype=torch.uint8)
    values = to_signed(images, DOUBLE)
    torch.manual_seed(2)
    found = loss_of(model, images).value
    torch.manual_seed(2)
    expected = (model.rebuild(model.latents(model.corrupt(values))) - values).square().mean()
    torch.testing.assert_close(found, expected)
    assert torch.equal(model.encode(images), model.latents(values))
    assert model.encode(images).requires_grad


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 7)], ids=str)
def test_four_stages_down_and_four_back(shape: tuple[int, int, int]) -> None:
    data = DataSpec(channels=shape[0], height=shape[1], width=shape[2])
    model = AutoencoderConfig(architecture="conv", hidden=(4, 6, 8, 10), latent_dim=3).build(data)
    assert [m.stride for m in model.encoder if isinstance(m, nn.Conv2d)] == [(2, 2)] * 4
    assert len([m for m in model.decoder if isinstance(m, nn.Upsample)]) == 4
    images = torch.zeros(2, *shape, dtype=torch.uint8)
    assert model.decode(model.encode(images)).shape == images.shape


def test_latents_are_drawn_where_the_training_images_lie() -> None:
    model = AutoencoderConfig(hidden=(6,), latent_dim=3).build(TINY).double()
    batches = [ImageBatch(images=correlated_images(300)) for _ in range(2)]
    model.finalise(batches)
    latents = model.encode(torch.cat([batch.images for batch in batches])).detach()
    draws = model.draw_latents(200_000)
    scale = latents.std(0, correction=0)
    # Standard errors of 200,000 draws are 0.0022 standard deviations of the mean and 0.0032 of the covariances.
    torch.testing.assert_close(draws.mean(0) / scale, latents.mean(0) / scale, atol=0.01, rtol=0.0)
    torch.testing.assert_close(torch.corrcoef(draws.T), torch.corrcoef(latents.T), atol=0.015, rtol=0.0)
    torch.testing.assert_close(draws.std(0), scale, atol=0.0, rtol=0.01)


def test_it_encodes_and_decodes_and_claims_no_more() -> None:
    model = AutoencoderConfig().build(TINY)
    assert isinstance(model, Encodes)
    assert isinstance(model, Decodes)
    assert not isinstance(model, Samples)
    assert not isinstance(model, Scores)


def test_settings_of_autoencoders_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.noise_level is 1\.5: .* at most 1"):
        AutoencoderConfig(noise="masking", noise_level=1.5)
    with pytest.raises(ValueError, match=r"model\.noise_level is -1"):
        AutoencoderConfig(noise="gaussian", noise_level=-1.0)
    with pytest.raises(ValueError, match=r"model\.hidden is empty"):
        AutoencoderConfig(architecture="conv", hidden=())
    with pytest.raises(ValueError, match=r"model\.latent_dim is 0"):
        AutoencoderConfig(latent_dim=0)
