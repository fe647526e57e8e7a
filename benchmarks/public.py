"""Training steps per second beside public implementations of the same architectures, in one run.

Run:
    python benchmarks/public.py

pythae (VAE), normflows (Glow) and nflows (NICE) are installed from PyPI into a folder that is thrown away. Each pair
trains the same layers at the same widths on the same images, in batches of 64, float32, on one thread; the number of
parameters of both is printed. gen_dist's side is the whole loop with dequantisation, metrics and the finite check. The
other side is its model's loss, a backward pass and torch's Adam, as that package's own examples write it. Blocks take
turns. A figure is the median ratio of the CPU times of neighbouring blocks, with quartiles; above 1 gen_dist is faster.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import torch
from bare import Images
from loop import SPEC
from torch import Tensor, nn

from gen_dist.config import RunConfig
from gen_dist.models.flow.glow import GlowConfig
from gen_dist.models.flow.nice import NICEConfig
from gen_dist.models.table import AnyModelConfig
from gen_dist.models.vae.vae import VAEConfig
from gen_dist.training.settings import TrainingConfig
from gen_dist.training.training import Training

PACKAGES = ("pythae==0.1.2", "normflows==1.7.3", "nflows==0.14")
INSTALLED = "GEN_DIST_BENCHMARK_PACKAGES"
BATCH_SIZE = 64
ENDLESS = 2**62
TURNS = 15
LEARNING_RATE = 1e-3
HIDDEN, LATENTS = 512, 16
GLOW = {"scales": 2, "steps": 4, "hidden": 64}
NICE_HIDDEN, NICE_LAYERS = 500, 3

Step = Callable[[], object]
Public = Callable[[], tuple[nn.Module, Callable[[Tensor], Tensor]]]  # a model, and its loss of 8-bit images


def ours(config: RunConfig, images: Images, rounds: int) -> tuple[nn.Module, Step]:
    """gen_dist's loop; one call trains `rounds` rounds."""
    settings = replace(config.training, images=ENDLESS, rounds_per_report=rounds, num_threads=1)
    training = Training(config.model, settings, 0, images)
    return training.state.learner, training.advance


def theirs(model: nn.Module, loss_of: Callable[[Tensor], Tensor], images: Images, rounds: int) -> Step:
    """What those packages' examples write: loss, backward, Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    position = 0

    def advance() -> None:
        nonlocal position
        for _ in range(rounds):
            batch = images.take(position, BATCH_SIZE).images
            position += BATCH_SIZE
            optimizer.zero_grad()
            loss = loss_of(batch)
            loss.backward()
            optimizer.step()
        loss.item()

    return advance


def vae_of_pythae() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    from pythae.models import VAE
    from pythae.models import VAEConfig as PythaeConfig

    model = VAE(PythaeConfig(input_dim=(1, 28, 28), latent_dim=LATENTS, reconstruction_loss="bce"))
    return model, lambda batch: model({"data": (batch >= 128).float()}).loss


def glow_of_normflows() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    import normflows

    scales, base, flows, merges = GLOW["scales"], [], [], []
    for index in range(scales):
        channels = 2 ** (scales + 1 - index)
        block = [normflows.flows.GlowBlock(channels, GLOW["hidden"], net_actnorm=True) for _ in range(GLOW["steps"])]
        flows.append([*block, normflows.flows.Squeeze()])
        if index:
            merges.append(normflows.flows.Merge())
        side = 28 // 2 ** (scales - index) if index else 28 // 2**scales
        base.append(normflows.distributions.DiagGaussian((channels // (2 if index else 1), side, side)))
    model = normflows.MultiscaleFlow(base, flows, merges, transform=normflows.transforms.Logit(0.05), class_cond=False)
    return model, lambda batch: model.forward_kld((batch + torch.rand(batch.shape)) / 256.0)


def nice_of_nflows() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import ActNorm, AdditiveCouplingTransform, CompositeTransform, Logit

    def network(inputs: int, outputs: int) -> nn.Module:
        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                layers: list[nn.Module] = []
                for width, following in pairwise([inputs, *[NICE_HIDDEN] * NICE_LAYERS]):
                    layers += [nn.Linear(width, following), nn.ReLU()]
                self.layers = nn.Sequential(*layers, nn.Linear(NICE_HIDDEN, outputs))

            def forward(self, values: Tensor, _context: Tensor | None = None) -> Tensor:
                return self.layers(values)

        return Network()

    mask = torch.arange(784) % 2
    couplings = [AdditiveCouplingTransform(mask if index % 2 else 1 - mask, network) for index in range(4)]
    model = Flow(CompositeTransform([Logit(), *couplings, ActNorm(784)]), StandardNormal([784]))

    def loss_of(batch: Tensor) -> Tensor:
        values = ((batch + torch.rand(batch.shape)) / 256.0).flatten(1)
        return -model.log_prob(0.05 + 0.9 * values).mean()

    return model, loss_of


def compare(name: str, model: AnyModelConfig, rounds: int, public: Public) -> bool:
    images = Images(SPEC)
    training = TrainingConfig(images=ENDLESS, batch_size=BATCH_SIZE)
    learner, our_step = ours(RunConfig(model=model, training=training), images, rounds)
    torch.manual_seed(0)
    other, loss_of = public()
    steps = {"ours": our_step, "theirs": theirs(other, loss_of, images, rounds)}
    ratios = []
    for turn in range(TURNS + 1):
        seconds = {}
        for who, step in steps.items():
            began = time.process_time()
            step()
            seconds[who] = time.process_time() - began
        if turn:  # the first warms both up
            ratios.append(seconds["theirs"] / seconds["ours"])
    low, median, high = statistics.quantiles(ratios, n=4)
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (learner, other)]
    verdict = "" if median >= 1.0 else ": MISSED"
    print(
        f"{name}: {median:.2f} ({low:.2f}-{high:.2f}) times as fast, parameters {counts[0]:,} and {counts[1]:,}"
        f"{verdict}   target 1",
        flush=True,
    )
    return median >= 1.0


def run_all() -> int:
    torch.set_num_threads(1)
    vae = VAEConfig(decoder="bernoulli", hidden=(HIDDEN,), latent_dim=LATENTS)
    glow = GlowConfig(**GLOW, pixel_scale="logit", learned_prior=False)
    nice = NICEConfig(num_couplings=4, hidden=NICE_HIDDEN, hidden_layers=NICE_LAYERS, prior="gaussian")
    well = [
        compare("VAE, beside pythae", vae, 40, vae_of_pythae),
        compare("Glow, beside normflows", glow, 2, glow_of_normflows),
        compare("NICE, beside nflows", nice, 10, nice_of_nflows),
    ]
    return 0 if all(well) else 1


def main() -> int:
    if os.environ.get(INSTALLED):
        return run_all()
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *PACKAGES]
        subprocess.run(pip, check=True)
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, INSTALLED: folder, "PYTHONPATH": path}
        return subprocess.run([sys.executable, __file__], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
