"""FFJORD: inverse, traces, densities, adjoint gradients and regularisers, against autodiff and closed forms."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gen_dist.learner import Context, Signal
from gen_dist.models.flow.ffjord import FFJORD, FFJORDConfig, SolvedLoss
from gen_dist.nn.continuous import SolverFailureError
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64
TIGHT = 1e-10  # of the solver; errors of the results stay within a few hundred times that
TIGHT_CONFIG: dict[str, Any] = {"tolerance": TIGHT, "evaluation_tolerance": TIGHT, "hidden": (6,)}


def rough_flow(shape: tuple[int, int, int], **changes: Any) -> FFJORD:
    """A flow far from the identity in evaluation mode: every weight is drawn anew."""
    torch.manual_seed(3)
    config = FFJORDConfig(**{**TIGHT_CONFIG, **changes})
    flow = config.build(DataSpec(channels=shape[0], height=shape[1], width=shape[2])).double().eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.normal_(std=0.4)
    return flow


def random_images(num: int, shape: tuple[int, int, int]) -> Tensor:
    return torch.randint(0, 256, (num, *shape), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("shape", "changes"),
    [
        ((1, 4, 4), {}),
        ((3, 4, 4), {"num_flows": 2}),
        ((1, 3, 5), {"activation": "tanh"}),
        ((1, 4, 4), {"architecture": "dense"}),
        ((1, 8, 8), {"scales": 3, "end_time": 0.5}),
    ],
    ids=str,
)
def test_the_inverse_inverts(shape: tuple[int, int, int], changes: dict[str, Any]) -> None:
    flow = rough_flow(shape, **changes)
    values = torch.randn(3, *shape, dtype=DOUBLE)
    with torch.no_grad():
        latents = flow.transform(values)[0]
        assert latents.shape == (3, math.prod(shape))
        assert not torch.allclose(latents.sort(1).values, values.flatten(1).sort(1).values, atol=0.01)
        # Errors of the way there grow on the way back, through up to 10 flows.
        torch.testing.assert_close(flow.inverse(latents), values, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"architecture": "dense"}, {"num_flows": 2, "activation": "tanh"}], ids=str)
def test_the_exact_log_determinant_is_autodiff_s(changes: dict[str, Any]) -> None:
    flow = rough_flow((1, 2, 2), trace="exact", adjoint=False, evaluation_tolerance=1e-7, **changes)
    values = torch.randn(1, 1, 2, 2, dtype=DOUBLE)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.transform(x)[0], values)
    assert isinstance(jacobian, Tensor)
    expected = torch.linalg.slogdet(jacobian.reshape(4, 4)).logabsdet
    assert expected.abs() > 0.1
    torch.testing.assert_close(flow.transform(values)[1][0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
def test_the_estimated_log_determinant_is_unbiased_and_so_is_the_jacobian_norm(probe: str) -> None:
    changes = {"scales": 1, "architecture": "dense", "evaluation_tolerance": 1e-6}
    flow = rough_flow((1, 1, 3), probe=probe, adjoint=False, **changes)
    exact = rough_flow((1, 1, 3), trace="exact", adjoint=False, **changes)
    flow.flows[0].penalised = exact.flows[0].penalised = True
    values = torch.randn(1, 1, 1, 3, dtype=DOUBLE)
    num = 4000
    drawn = flow.transform(values.expand(num, -1, -1, -1))[1].detach()
    expected = exact.transform(values)[1][0].detach()
    assert drawn.std() > 0.05
    assert abs(float(drawn.mean() - expected)) < 4.0 * float(drawn.std()) / math.sqrt(num)  # four standard errors
    norms = flow.flows[0].take_paths()[0].jacobian_norm.detach()
    norm = exact.flows[0].take_paths()[0].jacobian_norm[0].detach()
    assert abs(float(norms.mean() - norm)) < 4.0 * float(norms.std()) / math.sqrt(num)


def test_a_probe_is_the_same_at_all_times_of_a_solve_and_another_in_the_next() -> None:
    flow = rough_flow((1, 2, 2), scales=1)
    layer, seen = flow.flows[0], []
    original: Callable[..., Any] = layer._derivative

    def watched(time: Tensor, values: Tensor, probe: Tensor | None, *, keep_path: bool) -> Any:
        assert probe is not None
        seen.append(probe)
        return original(time, values, probe, keep_path=keep_path)

    layer._derivative = watched  # type: ignore[method-assign]
    with torch.no_grad():
        flow.transform(torch.randn(2, 1, 2, 2, dtype=DOUBLE))
        first = list(seen)
        seen.clear()
        flow.transform(torch.randn(2, 1, 2, 2, dtype=DOUBLE))
    assert len(first) > 6
    assert all(torch.equal(probe, first[0]) for probe in first)
    assert set(first[0].flatten().tolist()) <= {-1.0, 1.0}
    assert all(torch.equal(probe, seen[0]) for probe in seen)
    assert not torch.equal(first[0], seen[0])


def test_the_density_of_logits_integrates_to_one_in_two_dimensions() -> None:
    flow = rough_flow((1, 1, 2), trace="exact", evaluation_tolerance=1e-6, architecture="dense", activation="tanh")
    axis = torch.linspace(-12.0, 12.0, 161, dtype=DOUBLE)
    grid = torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2)
    with torch.no_grad():
        latents, log_determinant = flow.transform(grid)
    density = (flow.latent_log_density(latents) + log_determinant).exp().reshape(161, 161)
    border = torch.cat([density[0], density[-1], density[:, 0], density[:, -1]])
    assert border.max() < 1e-6  # nothing is cut off
    assert log_determinant.std() > 0.01  # and the volume changes from place to place
    total = torch.trapezoid(torch.trapezoid(density, axis), axis)
    # The density is smooth: the trapezoid rule errs less than the solver.
    torch.testing.assert_close(total, torch.ones((), dtype=DOUBLE), rtol=0.0, atol=1e-4)


@pytest.mark.parametrize(("method", "trace"), [("dopri5", "exact"), ("dopri5", "hutchinson"), ("rk4", "hutchinson")])
def test_adjoint_gradients_are_those_through_the_solver(method: str, trace: str) -> None:
    """Of the whole loss with both regularisers, to the solver's error (rk4 takes 40 steps)."""
    changes = {"solver": method, "num_steps": 40, "trace": trace, "kinetic_weight": 0.3, "jacobian_weight": 0.2}
    changes |= {"tolerance": 1e-8, "scales": 1}
    images = random_images(3, (1, 2, 2))
    gradients = []
    for adjoint in (True, False):
        flow = rough_flow((1, 2, 2), adjoint=adjoint, **changes).train()
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.mul_(0.5)  # an error that does not grow by orders of magnitude
        parameters = flow.active("model", Moment())
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        torch.manual_seed(1)
        signal = flow.negative_log_likelihood(ImageBatch(images=images), Context(Moment(), 0, 0, {}))
        signal.deposit(parameters, 0.5)
        gradients.append([parameter.grad for parameter in parameters])
    for adjoint_gradient, expected in zip(*gradients, strict=True):
        assert adjoint_gradient is not None
        assert expected is not None
        assert expected.abs().sum() > 0.0
        torch.testing.assert_close(adjoint_gradient, expected, rtol=1e-5, atol=1e-7)


def test_a_deposit_reaches_the_given_parameters_and_no_other() -> None:
    flow = rough_flow((1, 2, 2), scales=1, tolerance=1e-4).train()
    chosen, *others = flow.active("model", Moment())
    chosen.grad = torch.zeros_like(chosen)
    signal = flow.negative_log_likelihood(ImageBatch(images=random_images(3, (1, 2, 2))), Context(Moment(), 0, 0, {}))
    signal.deposit([chosen], 1.0)
    assert chosen.grad.abs().sum() > 0.0
    assert all(other.grad is None for other in others)


def test_a_copy_has_its_own_adjoint_parameters() -> None:
    flow = rough_flow((1, 2, 2), scales=1, tolerance=1e-4).train()
    other = copy.deepcopy(flow)
    parameters = other.active("model", Moment())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal = other.negative_log_likelihood(ImageBatch(images=random_images(3, (1, 2, 2))), Context(Moment(), 0, 0, {}))
    signal.deposit(parameters, 1.0)
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0.0 for parameter in parameters)
    assert all(parameter.grad is None for parameter in flow.parameters())


def test_encoding_with_gradients_keeps_nothing() -> None:
    """A classifier on latents may train the flow: then it can be copied, and the next loss is its own."""
    flow = rough_flow((1, 2, 2), scales=1, tolerance=1e-4, kinetic_weight=0.3).train()
    batch, losses = ImageBatch(images=random_images(3, (1, 2, 2))), []
    for _ in range(2):
        torch.manual_seed(1)
        losses.append(flow.negative_log_likelihood(batch, Context(Moment(), 0, 0, {})).metrics["loss"])
        flow.encode(batch.images).sum().backward()
        copy.deepcopy(flow)
    assert torch.equal(losses[0], losses[1])


def test_the_loss_is_the_density_plus_the_weighted_regularisers() -> None:
    images = random_images(4, (1, 2, 2))

    def signal(**changes: Any) -> Signal:
        flow = rough_flow((1, 2, 2), tolerance=1e-6, **changes).train()
        torch.manual_seed(2)
        found = flow.negative_log_likelihood(ImageBatch(images=images), Context(Moment(), 0, 0, {}))
        assert isinstance(found, SolvedLoss)
        return found

    plain, both = signal().metrics, signal(kinetic_weight=0.3, jacobian_weight=0.2).metrics
    # The integrals beside it change where the solver steps.
    torch.testing.assert_close(both["bits_per_dimension"], plain["loss"], rtol=1e-4, atol=1e-4)
    penalty = 0.3 * both["kinetic_energy"] + 0.2 * both["jacobian_norm"]
    torch.testing.assert_close(both["loss"], both["bits_per_dimension"] + penalty)
    assert penalty > 0.01
    assert "kinetic_energy" not in plain


@pytest.mark.parametrize(("method", "expected"), [("rk4", 4 * 5 * 3), ("dopri5", None)])
def test_function_evaluations_are_counted_afresh_for_every_signal(method: str, expected: int | None) -> None:
    flow = rough_flow((1, 2, 2), solver=method, num_steps=5, tolerance=1e-3).train()
    counts = []
    for _ in range(2):
        torch.manual_seed(0)
        batch = ImageBatch(images=random_images(2, (1, 2, 2)))
        signal = flow.negative_log_likelihood(batch, Context(Moment(), 0, 0, {}))
        counts.append(float(signal.metrics["function_evaluations"]))
    assert len(flow.flows) == 3  # two at the first scale, one at the second
    assert counts[0] == counts[1] > 0.0
    assert expected is None or counts[0] == expected


def test_a_tighter_tolerance_takes_more_evaluations_and_evaluation_has_its_own() -> None:
    flow = rough_flow((1, 2, 2), tolerance=1e-2, evaluation_tolerance=1e-8)
    values, counts = torch.randn(2, 1, 2, 2, dtype=DOUBLE), []
    for training in (True, False):
        flow.train(training)
        with torch.no_grad():
            flow.transform(values)
        counts.append(sum(layer.evaluations for layer in flow.flows))
    assert counts[1] - counts[0] > counts[0]


def test_a_solver_that_gives_up_is_a_run_that_diverged_and_not_a_crash() -> None:
    flow = rough_flow((1, 2, 2), max_steps=1).train()
    batch = ImageBatch(images=random_images(2, (1, 2, 2)))
    parameters = flow.active("model", Moment())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal = flow.negative_log_likelihood(batch, Context(Moment(), 0, 0, {}))
    assert signal.metrics["loss"].isnan()
    signal.deposit(parameters, 1.0)
    assert all(parameter.grad is not None and parameter.grad.isnan().all() for parameter in parameters)
    with pytest.raises(SolverFailureError, match="gave up"):
        flow.log_probability(batch.images)


def test_autocast_does_not_reach_the_solver() -> None:
    flow = rough_flow((1, 4, 4), tolerance=1e-4).float().train()
    batch, losses = ImageBatch(images=random_images(2, (1, 4, 4))), []
    for enabled in (True, False):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(flow.negative_log_likelihood(batch, Context(Moment(), 0, 0, {})).metrics["loss"])
    assert torch.equal(losses[0], losses[1])


def test_decoding_inverts_encoding() -> None:
    flow = rough_flow((1, 4, 4), tolerance=1e-8, evaluation_tolerance=1e-8)
    images = random_images(3, (1, 4, 4))
    with torch.no_grad():
        assert torch.equal(flow.decode(flow.encode(images)), images)
