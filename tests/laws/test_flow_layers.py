"""The invertible layers that flows are made of, one by one."""

import pytest
import torch
from flow_cases import DOUBLE
from torch import Tensor, nn

from gen_dist.nn.channel_coupling import ActNormConvolution, ChannelCoupling, near_zero_convolution
from gen_dist.nn.coupling import ActNorm, AffineCoupling, FlowBatchNorm, channel_mask, checkerboard_mask
from gen_dist.nn.invertible_convolution import InvertibleConvolution
from gen_dist.nn.multiscale import Scales, fitting
from gen_dist.nn.squeeze import Squeeze, squeeze, unsqueeze


def test_squeeze_equals_its_drawing() -> None:
    image = torch.arange(16).reshape(1, 1, 4, 4)
    expected = torch.tensor([[[0, 2], [8, 10]], [[1, 3], [9, 11]], [[4, 6], [12, 14]], [[5, 7], [13, 15]]])
    assert torch.equal(squeeze(image)[0], expected)


def test_unsqueeze_inverts_squeeze() -> None:
    image = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    assert squeeze(image).shape == (2, 12, 2, 3)
    assert torch.equal(unsqueeze(squeeze(image)), image)
    reordered = image.to(memory_format=torch.channels_last)
    assert torch.equal(squeeze(reordered), squeeze(image))


def test_the_checkerboard_equals_its_drawing() -> None:
    plain = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]])
    assert torch.equal(checkerboard_mask(3, 4, invert=False)[0, 0], plain.float())
    assert torch.equal(checkerboard_mask(3, 4, invert=True)[0, 0], 1.0 - plain.float())


def test_channel_masks_pass_one_half() -> None:
    assert channel_mask(4, invert=False).flatten().tolist() == [0, 0, 1, 1]
    assert channel_mask(4, invert=True).flatten().tolist() == [1, 1, 0, 0]


def test_scales_let_the_first_half_of_the_channels_leave() -> None:
    scales = Scales([[Squeeze()], [Squeeze()]], [(2, 2, 2), (8, 1, 1)])
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    latents, log_determinant = scales(image)
    assert latents.tolist() == [[0, 2, 8, 10, 1, 3, 9, 11, 4, 5, 6, 7, 12, 13, 14, 15]]
    assert log_determinant.tolist() == [0.0]
    assert torch.equal(scales.inverse(latents), image)


def test_layers_are_fitted_in_the_order_in_which_they_compute() -> None:
    network = nn.Sequential(ActNormConvolution(2, 3, 3), nn.ReLU(), ActNormConvolution(3, 4, 1)).double()
    values = 5.0 + 2.0 * torch.randn(50, 2, 4, 4, dtype=DOUBLE)
    with torch.no_grad():
        with fitting(network, ActNormConvolution):
            fitted = network(values)
        output = network(values)  # and fitted once only
    assert torch.equal(fitted, output)
    variance, mean = torch.var_mean(output, dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros(4, dtype=DOUBLE), rtol=0.0, atol=1e-12)
    torch.testing.assert_close(variance, torch.ones(4, dtype=DOUBLE), rtol=0.0, atol=1e-3)  # EPSILON


def test_act_norm_folded_into_a_convolution_is_act_norm_after_it() -> None:
    folded = ActNormConvolution(3, 5, 3).double()
    with torch.no_grad():
        folded.shift.normal_()
        folded.log_scale.normal_()
    after = ActNorm(5).double()
    after.load_state_dict({"shift": folded.shift, "log_scale": folded.log_scale})
    values = torch.randn(2, 3, 4, 6, dtype=DOUBLE)
    torch.testing.assert_close(folded(values), after(folded.convolution(values))[0])


@pytest.mark.parametrize("channels", [1, 2, 7, 48])
def test_an_invertible_convolution_starts_at_a_rotation(channels: int) -> None:
    """Far from the identity: with its own draw, orthogonal, and saved with what is random in it."""
    first, second = InvertibleConvolution(channels), InvertibleConvolution(channels)
    weight = first.weight.detach()
    # Two factors and their product in float32.
    torch.testing.assert_close(weight @ weight.T, torch.eye(channels), rtol=0.0, atol=1e-5)
    assert abs(float(first.log_scale.sum().detach())) < 1e-5
    if channels > 1:
        assert (weight - torch.eye(channels)).abs().max() > 0.1
        assert not torch.allclose(second.weight, weight)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.weight, weight)


@pytest.mark.parametrize("channels", [1, 2, 7, 48])
def test_an_invertible_convolution_s_log_determinant_and_inverse(channels: int) -> None:
    layer = InvertibleConvolution(channels).double()
    with torch.no_grad():
        layer.factors.add_(0.1 * torch.randn_like(layer.factors))
        values = torch.randn(3, channels, 4, 5, dtype=DOUBLE)
        output, log_determinant = layer(values)
        expected = 4 * 5 * torch.linalg.slogdet(layer.weight).logabsdet
        torch.testing.assert_close(log_determinant, expected.expand(3))
        torch.testing.assert_close(output, torch.einsum("oc,bchw->bohw", layer.weight, values))
        torch.testing.assert_close(layer.inverse(output), values)


def test_any_invertible_matrix_with_the_permutation_s_signs_is_reached() -> None:
    """As many parameters as entries of W, and its Jacobian has full rank."""
    layer = InvertibleConvolution(4).double()

    def weight(factors: Tensor) -> Tensor:
        product: Tensor = torch.func.functional_call(_Weight(layer), {"layer.factors": factors}, ())
        return product

    jacobian = torch.autograd.functional.jacobian(weight, layer.factors.detach())
    assert isinstance(jacobian, Tensor)
    assert torch.linalg.matrix_rank(jacobian.reshape(16, 16)) == 16


class _Weight(nn.Module):
    def __init__(self, layer: InvertibleConvolution) -> None:
        super().__init__()
        self.layer = layer

    def forward(self) -> Tensor:
        return self.layer.weight


def test_an_invertible_convolution_ignores_autocast() -> None:
    layer = InvertibleConvolution(4)
    values = torch.randn(2, 4, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        output, log_determinant = layer(values)
        back = layer.inverse(output)
    assert output.dtype == log_determinant.dtype == torch.float32
    assert torch.equal(output, layer(values)[0])
    torch.testing.assert_close(back, values, rtol=0.0, atol=1e-5)  # float32


def test_batch_norm_s_log_determinant_in_training_is_that_of_its_statistics() -> None:
    layer = FlowBatchNorm(2).double().train()
    values = 3.0 * torch.randn(5, 2, 2, 3, dtype=DOUBLE) + 1.0
    output, log_determinant = layer(values)
    torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(2, dtype=DOUBLE), rtol=0.0, atol=1e-12)
    expected = -0.5 * 6 * torch.log(values.var((0, 2, 3), correction=0) + 1e-5).sum()
    torch.testing.assert_close(log_determinant, expected.expand(5))


def _couplings() -> list[AffineCoupling | ChannelCoupling]:
    return [
        AffineCoupling(checkerboard_mask(4, 4, invert=False), 2, hidden=4, num_blocks=1, max_log_scale=2.0),
        ChannelCoupling(near_zero_convolution(1, 2), max_log_scale=2.0),
    ]


@pytest.mark.parametrize("index", [0, 1])
def test_couplings_cannot_overflow(index: int) -> None:
    """The log-scale stays below its bound whatever the network says."""
    coupling = _couplings()[index]
    with torch.no_grad():
        for parameter in coupling.parameters():
            parameter.mul_(1e3)
    output, log_determinant = coupling(1e3 * torch.randn(3, 2, 4, 4))
    assert output.isfinite().all()
    assert 2.0 < log_determinant.abs().max() <= 2.0 * 16 + 1e-4  # 16 of 32 values move


def test_couplings_move_one_half_only() -> None:
    values = torch.randn(3, 2, 4, 4)
    output, _ = _couplings()[1](values)
    assert torch.equal(output[:, 1], values[:, 1])
    assert not torch.equal(output[:, 0], values[:, 0])
