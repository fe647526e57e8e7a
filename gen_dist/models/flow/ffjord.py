"""FFJORD: images flow to noise along a differential equation whose right side is any network, so density is free-form.

Paper: W. Grathwohl, R. T. Q. Chen, J. Bettencourt, I. Sutskever, D. Duvenaud (2019), FFJORD: Free-form Continuous
Dynamics for Scalable Reversible Generative Models, arXiv:1810.01367. Regularisers (RNODE): C. Finlay, J.-H. Jacobsen,
L. Nurbekyan, A. M. Oberman (2020), How to train your neural ODE: the world of Jacobian and kinetic regularization,
arXiv:2002.02798.

Departures: time runs from the image to the noise; act norm (arXiv:1807.03039) before every flow, so that it starts near
the noise; the end time is not learned; convolutions have stride 1; the adjoint solve chooses its steps by the state
alone (P. Kidger, R. T. Q. Chen, T. Lyons 2021, arXiv:2009.09457); scores and samples have a tolerance of their own.

| symbol | name here |
|---|---|
| f(z(t), t; theta) (Eq. 2) | `Dynamics` |
| t_0, t_1 | `end_time` and 0 |
| epsilon (Eq. 7) | `probe` |
| lambda_K, lambda_J of RNODE (Eq. 7 there) | `kinetic_weight`, `jacobian_weight` |
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.learner import Context, Loss, Signal
from gen_dist.losses.likelihood import bits_per_dimension
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.flow.flow import Flow
from gen_dist.models.paper import Paper
from gen_dist.nn.continuous import (
    ContinuousFlow,
    Dynamics,
    Method,
    Path,
    Probe,
    Solver,
    SolverFailureError,
    Trace,
    giving_up,
)
from gen_dist.nn.coupling import ActNorm
from gen_dist.nn.multiscale import Scales, fitting
from gen_dist.nn.squeeze import Squeeze
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch

PAPER = Paper(
    title="FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models",
    authors="W. Grathwohl, R. T. Q. Chen, J. Bettencourt, I. Sutskever, D. Duvenaud",
    year=2019,
    arxiv="1810.01367",
)

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class FFJORDConfig:
    """Settings of the flow.

    Attributes:
        architecture: dynamics of 3x3 convolutions, or fully connected.
        hidden: feature maps or units of the dynamics' layers.
        activation: between them.
        scales: number of scales; an image whose sides can't be halved so often gets fewer.
        num_flows: flows before, and flows after, each squeeze.
        end_time: of each flow.
        trace: estimated with one random probe per solve, or exact (for a handful of values).
        probe: distribution of the random probe.
        solver: in training.
        tolerance: relative and absolute error of a step of dopri5 in training.
        num_steps: of rk4 in training.
        max_steps: of dopri5 before it gives up.
        adjoint: gradients by a second solve backwards in time, or by backpropagation through the steps.
        evaluation_tolerance: of dopri5, which scores and samples.
        kinetic_weight: of the kinetic energy in the loss, 0 for none.
        jacobian_weight: of the Jacobian's squared norm in the loss, 0 for none.
        alpha: images are squeezed into [alpha, 1 - alpha] before the logit.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    architecture: Literal["conv", "dense"] = "conv"
    hidden: tuple[int, ...] = (64, 64, 64)
    activation: Literal["softplus", "tanh"] = "softplus"
    scales: int = 2
    num_flows: int = 1
    end_time: float = 1.0
    trace: Trace = "hutchinson"
    probe: Probe = "rademacher"
    solver: Method = "dopri5"
    tolerance: float = 1e-5
    num_steps: int = 8
    max_steps: int = 1000
    adjoint: bool = True
    evaluation_tolerance: float = 1e-5
    kinetic_weight: float = 0.0
    jacobian_weight: float = 0.0
    alpha: float = 0.05
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "scales", "num_flows", "num_steps", "max_steps")
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"model.hidden is {self.hidden}: each must be at least 1")
        for name in ("end_time", "tolerance", "evaluation_tolerance"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0.0):
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be a positive, finite number")
        for name in ("kinetic_weight", "jacobian_weight"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0.0):
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be a finite number, 0 or more")
        if not 0.0 < self.alpha < 0.5:
            raise ValueError(f"model.alpha is {self.alpha}: it must lie between 0 and 0.5")

    def build(self, data: DataSpec) -> "FFJORD":
        """A freshly initialised flow on such images."""
        return FFJORD(self, data)


def _flows(config: FFJORDConfig, shape: tuple[int, int, int]) -> list[nn.Module]:
    """The flows on values of one shape, each behind an act norm."""
    in_training = Solver(
        method=config.solver,
        tolerance=config.tolerance,
        num_steps=config.num_steps,
        max_steps=config.max_steps,
        adjoint=config.adjoint,
    )
    in_evaluation = Solver(tolerance=config.evaluation_tolerance, max_steps=config.max_steps)
    layers: list[nn.Module] = []
    for _ in range(config.num_flows):
        dynamics = Dynamics(shape, config.hidden, dense=config.architecture == "dense", activation=config.activation)
        flow = ContinuousFlow(
            dynamics,
            end_time=config.end_time,
            solver=in_training,
            evaluation_solver=in_evaluation,
            trace=config.trace,
            probe=config.probe,
        )
        layers += [ActNorm(shape[0]), flow]
    return layers


@final
@dataclass(frozen=True, slots=True)
class SolvedLoss:
    """A loss behind a solver that may give up on the way back; the gradient is then not a number: the run diverged."""

    loss: Loss

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """The loss's."""
        return self.loss.metrics

    @property
    def statistics(self) -> Mapping[str, Tensor]:
        """There are none."""
        return self.loss.statistics

    def deposit(self, parameters: Sequence[nn.Parameter], weight: float) -> None:
        """Add `weight` times the gradient to `.grad` of `parameters`."""
        try:
            with giving_up():
                self.loss.deposit(parameters, weight)
        except SolverFailureError:
            for parameter in parameters:
                parameter.grad = torch.full_like(parameter, math.nan)


@final
class FFJORD(Flow):
    """Scales of continuous flows; after each but the last, half of the channels leave as latents."""

    def __init__(self, config: FFJORDConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.config = config
        channels, height, width = data.shape
        latent_shapes: list[tuple[int, int, int]] = []
        scales: list[list[nn.Module]] = []
        for index in range(config.scales):
            last = index == config.scales - 1 or height % 2 == 1 or width % 2 == 1
            layers = _flows(config, (channels, height, width))
            if last:
                scales.append(layers)
                latent_shapes.append((channels, height, width))
                break
            squeezed = (4 * channels, height // 2, width // 2)
            scales.append([*layers, Squeeze(), *_flows(config, squeezed)])
            channels, height, width = 2 * channels, height // 2, width // 2
            latent_shapes.append((channels, height, width))
        self.scales = Scales(scales, latent_shapes)

    @property
    def flows(self) -> list[ContinuousFlow]:
        """All continuous flows, from the image on."""
        return [module for module in self.modules() if isinstance(module, ContinuousFlow)]

    @torch.no_grad()
    def prepare(self, batch: ImageBatch) -> None:
        """Start every act norm from the batch."""
        with fitting(self, ActNorm):
            self.transform(self.to_inputs(self.dequantise(batch.images))[0])

    def transform(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, " b"]]:
        """Latents of logits, and the log-determinant of the Jacobian, estimated unless `trace` is "exact" (Eq. 8)."""
        latents: Tensor
        latents, log_determinant = self.scales(values)
        return latents, log_determinant

    def inverse(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b c h w"]:
        """The logits that `transform` maps to these latents."""
        return self.scales.inverse(latents)

    def negative_log_likelihood(self, batch: ImageBatch, context: Context) -> Signal:
        """Bits per dimension of the 8-bit images, plus the regularisers per dimension (arXiv:2002.02798, Eq. 7)."""
        for flow in self.flows:
            flow.evaluations = 0
            # Here alone: who encodes with gradients would keep the graph of every solve.
            flow.penalised = self.config.kinetic_weight > 0.0 or self.config.jacobian_weight > 0.0
        try:
            log_density = self.log_density(self.dequantise(batch.images))
        except SolverFailureError:
            nowhere = torch.full_like(self.origin, math.nan)
            log_density = nowhere * torch.stack([parameter.sum() for parameter in self.parameters()]).sum()
        finally:
            for flow in self.flows:
                flow.penalised = False
        bits = bits_per_dimension(-log_density.mean(), self.data.num_dimensions)
        evaluations = torch.full_like(self.origin, float(sum(flow.evaluations for flow in self.flows)))
        metrics = {"function_evaluations": evaluations}
        paths = [path for flow in self.flows for path in flow.take_paths()]
        if not paths:
            return SolvedLoss(Loss(bits, metrics))
        kinetic, jacobian = self._penalties(paths)
        penalty = self.config.kinetic_weight * kinetic + self.config.jacobian_weight * jacobian
        metrics |= {"bits_per_dimension": bits.detach()}
        metrics |= {"kinetic_energy": kinetic.detach(), "jacobian_norm": jacobian.detach()}
        return SolvedLoss(Loss(bits + penalty, metrics))

    def _penalties(self, paths: Sequence[Path]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Mean kinetic energy and squared Jacobian norm over all flows, per dimension."""
        kinetic = torch.stack([path.kinetic_energy.mean() for path in paths]).sum()
        jacobian = torch.stack([path.jacobian_norm.mean() for path in paths]).sum()
        return kinetic / self.data.num_dimensions, jacobian / self.data.num_dimensions
