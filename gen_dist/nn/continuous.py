"""Continuous flows: values move along dx/dt = f(t, x), and the density along with them (arXiv:1810.01367).

The solver is torchdiffeq's. Everything it integrates is one state:

    x                        the values
    log |det|                its rate is tr df/dx (Eq. 2)
    kinetic energy           its rate is |f|^2         (arXiv:2002.02798, Sec. 4); this and the next only if asked for
    Jacobian norm            its rate is |df/dx|_F^2   (arXiv:2002.02798, Sec. 4)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

State = tuple[Tensor, ...]
Method = Literal["dopri5", "rk4"]
Trace = Literal["hutchinson", "exact"]
Probe = Literal["rademacher", "gaussian"]


class SolverFailureError(ArithmeticError):
    """The solver gave up: its steps became too small or too many, or the state was not finite."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Solver:
    """How the differential equation is solved.

    Attributes:
        method: "dopri5" chooses its steps by `tolerance`; "rk4" takes `num_steps` equal ones.
        tolerance: relative and absolute error of a step of dopri5.
        num_steps: of rk4.
        max_steps: of dopri5, before it gives up.
        adjoint: gradients by a second solve backwards in time, which keeps no activations (arXiv:1806.07366), or by
            backpropagation through the steps.
    """

    method: Method = "dopri5"
    tolerance: float = 1e-5
    num_steps: int = 8
    max_steps: int = 1000
    adjoint: bool = True


@final
class ConcatSquash(nn.Module):
    """A layer whose output is scaled and shifted by functions of time: layer(x) * sigmoid(a t + b) + c t."""

    def __init__(self, layer: nn.Linear | nn.Conv2d, width: int) -> None:
        super().__init__()
        self.layer = layer
        self.gate = nn.Linear(1, width)
        self.shift = nn.Linear(1, width, bias=False)

    def forward(self, time: Float[Tensor, ""], values: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """The layer's output at a time."""
        output: Tensor = self.layer(values)
        shape = (1, -1, *(1,) * (output.ndim - 2))
        moment = time.reshape(1, 1)
        gate: Tensor = torch.sigmoid(self.gate(moment)).reshape(shape)
        shift: Tensor = self.shift(moment).reshape(shape)
        return output * gate + shift


@final
class Dynamics(nn.Module):
    """f(t, x): `ConcatSquash` layers with a smooth activation between them.

    Args:
        shape: (channels, height, width) of the values.
        hidden: widths of the layers between; none gives a linear f.
        dense: fully connected layers instead of 3x3 convolutions.
        activation: smooth, since the solver takes derivatives for granted.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        hidden: tuple[int, ...],
        *,
        dense: bool,
        activation: Literal["softplus", "tanh"],
    ) -> None:
        super().__init__()
        self.dense = dense
        size = shape[0] * shape[1] * shape[2] if dense else shape[0]
        layers: list[nn.Module] = []
        for width_in, width_out in zip((size, *hidden), (*hidden, size), strict=True):
            layer = nn.Linear(width_in, width_out) if dense else nn.Conv2d(width_in, width_out, 3, padding=1)
            layers.append(ConcatSquash(layer, width_out))
        # Small, so that a fresh flow is close to the identity; not zero, so that every weight learns at once.
        nn.init.normal_(layer.weight, std=1e-2)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.layers = nn.ModuleList(layers)
        self.activation = nn.Softplus() if activation == "softplus" else nn.Tanh()

    def forward(self, time: Float[Tensor, ""], values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The velocity of the values at a time."""
        hidden = values.flatten(1) if self.dense else values
        for index, layer in enumerate(self.layers):
            hidden = layer(time, self.activation(hidden) if index else hidden)
        return hidden.reshape(values.shape)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Path:
    """Integrals along the way of each image, summed over its values."""

    kinetic_energy: Float[Tensor, " b"]
    jacobian_norm: Float[Tensor, " b"]


@final
class ContinuousFlow(nn.Module):
    """The values at time `end_time` of a flow that starts at time 0.

    Args:
        dynamics: maps (time, values) to velocities.
        end_time: when the flow ends.
        solver: in training mode.
        evaluation_solver: in evaluation mode.
        trace: of df/dx, estimated with one random probe per solve (Eq. 7), or exact by a derivative per value.
        probe: distribution of the random probe.
        penalised: keep a `Path` of every solve with gradients, for `take_paths`.

    Attributes:
        evaluations: how often the dynamics were evaluated since it was last set to 0, backward solves included.
    """

    def __init__(
        self,
        dynamics: nn.Module,
        *,
        end_time: float,
        solver: Solver,
        evaluation_solver: Solver,
        trace: Trace = "hutchinson",
        probe: Probe = "rademacher",
        penalised: bool = False,
    ) -> None:
        super().__init__()
        self.dynamics = dynamics
        self.end_time = end_time
        self.solver, self.evaluation_solver = solver, evaluation_solver
        self.trace, self.probe, self.penalised = trace, probe, penalised
        self.evaluations = 0
        self._paths: list[Path] = []

    def forward(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """Values at the end, and the log-determinant (Eq. 3).

        Raises:
            SolverFailureError: the solver gave up.
        """
        probe = None if self.trace == "exact" else self._draw_probe(values)
        keep_path = self.penalised and torch.is_grad_enabled()
        scalars = [torch.zeros_like(values[:, 0, 0, 0])] * (3 if keep_path else 1)

        def derivative(time: Tensor, state: State) -> State:
            return self._derivative(time, state[0], probe, keep_path=keep_path)

        end, log_determinant, *path = self._solve(derivative, (values, *scalars), (0.0, self.end_time))
        if keep_path:
            self._paths.append(Path(kinetic_energy=path[0], jacobian_norm=path[1]))
        return end, log_determinant

    def inverse(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The values at time 0 of the flow that ends in these; no trace, so it is cheaper.

        Raises:
            SolverFailureError: the solver gave up.
        """

        def derivative(time: Tensor, state: State) -> State:
            self.evaluations += 1
            return (self.dynamics(time, state[0]),)

        return self._solve(derivative, (values,), (self.end_time, 0.0))[0]

    def take_paths(self) -> list[Path]:
        """What was kept since the last call; nothing is kept of it here."""
        paths, self._paths = self._paths, []
        return paths

    def _draw_probe(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Independent entries of mean 0 and variance 1, the same at all times of a solve (Sec. 3.1)."""
        if self.probe == "gaussian":
            return torch.randn_like(values)
        return 2.0 * torch.full_like(values, 0.5).bernoulli() - 1.0

    def _derivative(
        self, time: Float[Tensor, ""], values: Float[Tensor, "b c h w"], probe: Tensor | None, *, keep_path: bool
    ) -> State:
        """Rates of the values, of the log-determinant and, if asked for, of the path."""
        self.evaluations += 1
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            if not (differentiable and values.requires_grad):
                values = values.detach().requires_grad_()
            velocity: Tensor = self.dynamics(time, values)
            products = list(_vector_jacobian_products(velocity, values, probe, differentiable=differentiable))
            if probe is None:
                trace = torch.stack([row[:, index] for index, row in enumerate(products)]).sum(0)
            else:
                trace = (products[0] * probe.flatten(1)).sum(1)
            rates: State = (velocity, trace)
            if keep_path:
                norm = torch.stack([row.square().sum(1) for row in products]).sum(0)
                rates = (velocity, trace, velocity.square().flatten(1).sum(1), norm)
        return rates if differentiable else tuple(rate.detach() for rate in rates)

    def _solve(self, derivative: Callable[[Tensor, State], State], state: State, times: tuple[float, float]) -> State:
        solver = self.solver if self.training else self.evaluation_solver
        if solver.method == "rk4":
            options: dict[str, float] = {"step_size": self.end_time / solver.num_steps}
        else:
            options = {"max_num_steps": solver.max_steps}
        span = torch.linspace(*times, 2, dtype=state[0].dtype, device=state[0].device)
        tolerance = {"rtol": solver.tolerance, "atol": solver.tolerance}
        with giving_up(), torch.autocast(span.device.type, enabled=False):
            if solver.adjoint and torch.is_grad_enabled():
                solution = odeint_adjoint(
                    derivative,
                    state,
                    span,
                    method=solver.method,
                    options=options,
                    # Errors of the weights' gradients do not matter for the steps (arXiv:2009.09457).
                    adjoint_options={**options, "norm": "seminorm"},
                    adjoint_params=tuple(self.parameters()),  # at this moment: a copy has parameters of its own
                    **tolerance,
                )
            else:
                solution = odeint(derivative, state, span, method=solver.method, options=options, **tolerance)
        return tuple(part[-1] for part in solution)


@contextmanager
def giving_up() -> Iterator[None]:
    """Inside, an assertion of the solver's becomes a `SolverFailureError`."""
    try:
        yield
    except AssertionError as error:
        raise SolverFailureError(f"the solver of the differential equation gave up: {error}") from error


def _vector_jacobian_products(
    velocity: Float[Tensor, "b c h w"],
    values: Float[Tensor, "b c h w"],
    probe: Float[Tensor, "b c h w"] | None,
    *,
    differentiable: bool,
) -> list[Float[Tensor, "b d"]]:
    """The probe times df/dx for each image; without a probe every row of df/dx."""
    if probe is not None:
        (product,) = torch.autograd.grad(velocity, values, probe, create_graph=differentiable)
        return [product.flatten(1)]
    outputs = velocity.flatten(1).sum(0)  # images do not depend on each other
    rows = []
    for index in range(len(outputs)):
        (row,) = torch.autograd.grad(outputs[index], values, create_graph=differentiable, retain_graph=True)
        rows.append(row.flatten(1))
    return rows
