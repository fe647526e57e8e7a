"""Continuous flows: a linear field's closed forms, time in every layer, a way back that fails."""

from typing import Any

import torch
from torch import Tensor, nn

from gen_dist.learner import Loss
from gen_dist.models.flow.ffjord import SolvedLoss
from gen_dist.nn.continuous import ContinuousFlow, Dynamics, Solver

DOUBLE = torch.float64
TIGHT = 1e-10  # of the solver; errors of the results stay within a few hundred times that


class Linear(nn.Module):
    """dx/dt = A x, of which everything is known."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, time: Tensor, values: Tensor) -> Tensor:
        return (values.flatten(1) @ self.matrix.T).reshape(values.shape)


def linear_flow(size: int, end_time: float, **changes: Any) -> ContinuousFlow:
    torch.manual_seed(5)
    tight = Solver(tolerance=TIGHT)
    matrix = 0.5 * torch.randn(size, size, dtype=DOUBLE)
    given = {"solver": tight, "evaluation_solver": tight, "trace": "exact", "penalised": True}
    return ContinuousFlow(Linear(matrix), end_time=end_time, **{**given, **changes})


def test_a_linear_field_s_end_log_determinant_and_regularisers_are_known() -> None:
    time, size = 0.7, 4
    flow = linear_flow(size, time)
    matrix = flow.dynamics.matrix.detach()
    start = torch.randn(3, 1, 2, 2, dtype=DOUBLE)
    end, log_determinant = flow(start)
    close = {"rtol": 1e-7, "atol": 1e-7}
    expected = start.flatten(1) @ torch.linalg.matrix_exp(time * matrix).T
    torch.testing.assert_close(end.flatten(1), expected, **close)
    torch.testing.assert_close(log_determinant, (time * matrix.trace()).expand(3), **close)
    (path,) = flow.take_paths()
    torch.testing.assert_close(path.jacobian_norm, (time * matrix.square().sum()).expand(3), **close)
    moments = (torch.arange(2001, dtype=DOUBLE) / 2000 * time)[:, None, None]
    velocities = start.flatten(1) @ torch.linalg.matrix_exp(moments * matrix).mT @ matrix.T
    kinetic = torch.trapezoid(velocities.square().sum(2), moments[:, 0, 0], dim=0)
    torch.testing.assert_close(path.kinetic_energy, kinetic, rtol=1e-5, atol=1e-5)  # of the trapezoid rule
    assert flow.take_paths() == []


class GivesUp(torch.autograd.Function):
    """The identity, whose way back fails as torchdiffeq's does."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise AssertionError("underflow in dt 0.0")


def test_a_solver_that_gives_up_on_the_way_back_is_a_run_that_diverged() -> None:
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.zeros_like(weight)
    SolvedLoss(Loss(GivesUp.apply(weight.sum()))).deposit([weight], 1.0)
    assert weight.grad.isnan().all()


def test_time_enters_every_layer() -> None:
    torch.manual_seed(0)
    for dense in (True, False):
        dynamics = Dynamics((1, 2, 2), (3,), dense=dense, activation="tanh").double()
        values = torch.randn(1, 1, 2, 2, dtype=DOUBLE)
        early, late = (dynamics(torch.tensor(time, dtype=DOUBLE), values) for time in (0.0, 1.0))
        assert not torch.allclose(early, late)
