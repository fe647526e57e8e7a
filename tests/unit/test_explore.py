"""Pictures of what a model knows: what stands where on the sheets, and who can't draw them."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from gen_dist.bundle.bundle import save_bundle
from gen_dist.commands.explore.complete import complete
from gen_dist.commands.explore.manifold import manifold
from gen_dist.commands.explore.reconstruct import reconstruct
from gen_dist.commands.import_ import import_dataset
from gen_dist.models.autoregressive.pixelcnn import PixelCNNConfig
from gen_dist.models.flow.realnvp import RealNVPConfig
from gen_dist.models.vae.autoencoder import AutoencoderConfig
from gen_dist.models.vae.vae import VAEConfig
from gen_dist.sampling.explore import TAIL, UNKNOWN, completions, latent_plane, reconstructions
from gen_dist.types import DataSpec

SPEC = DataSpec(channels=1, height=6, width=4)
IMAGES = torch.arange(2 * 6 * 4, dtype=torch.uint8).reshape(2, 1, 6, 4)


def test_a_row_holds_an_image_its_known_part_and_completions() -> None:
    torch.manual_seed(0)
    learner = PixelCNNConfig(features=8, output_features=8, num_blocks=1, first_kernel_size=3).build(SPEC)
    sheet = completions(learner, IMAGES, num_rows=2, num_each=3, seed=4)
    rows = sheet.reshape(2, 5, 1, 6, 4)
    assert torch.equal(rows[:, 0], IMAGES)
    assert torch.equal(rows[:, 1, :, :2], IMAGES[:, :, :2])
    assert (rows[:, 1, :, 2:] == UNKNOWN).all()
    for completion in rows[:, 2:].unbind(1):
        assert torch.equal(completion[:, :, :2], IMAGES[:, :, :2])
        assert not torch.equal(completion, IMAGES)
    assert not torch.equal(rows[0, 2], rows[0, 3])
    assert torch.equal(completions(learner, IMAGES, num_rows=2, num_each=3, seed=4), sheet)
    with pytest.raises(ValueError, match="num_rows is 6: of 6 rows"):
        completions(learner, IMAGES, num_rows=6, num_each=1, seed=0)
    for temperature in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"temperature is {temperature}: it must be positive"):
            completions(learner, IMAGES, num_rows=2, num_each=1, seed=0, temperature=temperature)


def test_a_flow_reconstructs_exactly() -> None:
    torch.manual_seed(0)
    learner = RealNVPConfig(hidden=4, num_blocks=0, scales=1).build(SPEC)
    assert torch.equal(reconstructions(learner, IMAGES, seed=0), IMAGES)


def test_the_plane_runs_over_quantiles_from_the_upper_left_corner() -> None:
    torch.manual_seed(0)
    learner = VAEConfig(latent_dim=2, hidden=(8,)).build(SPEC).eval()
    plane = latent_plane(learner, 3)
    assert plane.shape == (9, 1, 6, 4)
    edge = float(torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(TAIL)))
    corners = learner.decode(torch.tensor([[edge, -edge], [0.0, 0.0], [-edge, edge]]))
    assert torch.equal(plane[[0, 4, 8]], corners)


def test_who_cannot_is_told_what_it_can() -> None:
    vae = VAEConfig(latent_dim=3, hidden=(8,)).build(SPEC)
    pixelcnn = PixelCNNConfig(features=8, output_features=8).build(SPEC)
    with pytest.raises(ValueError, match=r"VAE can't complete images; what it can do: samples, scores, encodes"):
        completions(vae, IMAGES, num_rows=2, num_each=1, seed=0)
    with pytest.raises(ValueError, match="3 latent dimensions, and a plane has 2"):
        latent_plane(vae, 3)
    with pytest.raises(ValueError, match="Autoencoder can't decode latents of a prior"):
        latent_plane(AutoencoderConfig(latent_dim=2, hidden=(8,)).build(SPEC), 3)
    with pytest.raises(ValueError, match="side is 0"):
        latent_plane(VAEConfig(latent_dim=2, hidden=(8,)).build(SPEC), 0)
    with pytest.raises(ValueError, match="PixelCNN can't encode and decode images"):
        reconstructions(pixelcnn, IMAGES, seed=0)
    with pytest.raises(ValueError, match="PixelCNN can't decode latents of a prior"):
        latent_plane(pixelcnn, 3)


def test_the_commands_write_their_sheets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_dataset("digits", str(tmp_path / "digits"))
    capsys.readouterr()
    spec = DataSpec(channels=1, height=8, width=8)
    torch.manual_seed(0)
    configs = {
        "pixelcnn": PixelCNNConfig(features=8, output_features=8, num_blocks=1),
        "vae": VAEConfig(latent_dim=2, hidden=(8,)),
    }
    for name, config in configs.items():
        save_bundle(config.build(spec), config, spec, {}, tmp_path / name)
    data = str(tmp_path / "digits")
    complete(str(tmp_path / "pixelcnn"), data=data, num=2, each=3, out=tmp_path / "completions.png")
    reconstruct(str(tmp_path / "vae"), data=data, num=4, out=tmp_path / "reconstructions.png")
    manifold(str(tmp_path / "vae"), side=5, out=tmp_path / "manifold.png")
    said = capsys.readouterr().out
    assert "2 images, 3 completions of each" in said
    assert "root mean square error" in said
    sizes = {}
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as picture:
            sizes[path.stem] = picture.size
    assert sizes["completions"][0] > 2 * sizes["completions"][1]  # 5 columns, 2 rows
    assert sizes["reconstructions"][0] > sizes["reconstructions"][1]  # 4 columns, 2 rows
    assert sizes["manifold"][0] == sizes["manifold"][1]
