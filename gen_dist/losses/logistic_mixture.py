"""A mixture of logistic distributions over 8-bit values, its colours coupled linearly (arXiv:1701.05517, Sec. 2.1-2.2).

Every component says where each colour lies and how sharply. Given the component, a colour's mean moves linearly with
the colours before it (Eq. 3), so one network output per pixel describes all of them together.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from gen_dist.losses.likelihood import MAX_LOG_SCALE, MIN_LOG_SCALE, logistic_bin_log_probability


class MixtureParameters(NamedTuple):
    """Parameters of one mixture for each place; k components, c colours, m = c (c - 1) / 2 couplings.

    Attributes:
        logits: of the components.
        means: of each colour, before what earlier colours add.
        scales: of each logistic, positive.
        couplings: slopes of means in earlier colours, in (-1, 1): green on red; blue on red, blue on green.
    """

    logits: Float[Tensor, "b k *place"]
    means: Float[Tensor, "b k c *place"]
    scales: Float[Tensor, "b k c *place"]
    couplings: Float[Tensor, "b k m *place"]


def num_mixture_parameters(num_colours: int, num_components: int) -> int:
    """Network outputs that a mixture needs: 3 per component for grey, 10 for red, green and blue."""
    return num_components * (1 + 2 * num_colours + num_colours * (num_colours - 1) // 2)


def mixture_of(
    outputs: Float[Tensor, "b o *place"], num_colours: int, num_components: int, *, temperature: float = 1.0
) -> MixtureParameters:
    """Read network outputs as a mixture; `temperature` divides the logits and multiplies the scales.

    The logarithm of a scale is clamped to [-7, 7] first: from below as in the published implementation, from above
    because a wider logistic is as good as flat. Couplings pass tanh, as there.
    """
    place = outputs.shape[2:]
    per_component = outputs.reshape(len(outputs), num_components, -1, *place)
    sizes = [1, num_colours, num_colours, num_colours * (num_colours - 1) // 2]
    logits, means, log_scales, couplings = torch.split(per_component, sizes, 2)
    return MixtureParameters(
        logits=logits.reshape(len(outputs), num_components, *place) / temperature,
        means=means,
        scales=log_scales.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE).exp() * temperature,
        couplings=couplings.tanh(),
    )


def mixture_log_probability(
    mixture: MixtureParameters, values: Float[Tensor, "b c *place"]
) -> Float[Tensor, " b *place"]:
    """Log-probability of each pixel's colours together in nats (Eq. 2 and 3); values are `to_signed` 8-bit ones."""
    return torch.logsumexp(_joint_log_probability(mixture, values), 1)


def draw_from_mixture(mixture: MixtureParameters, earlier: Float[Tensor, "b e"]) -> Float[Tensor, " b"]:
    """Draw the next colour of one pixel, given the colours before it; not yet rounded to 8 bits.

    The component is drawn anew for each colour, from its probability given the earlier colours. By the chain rule that
    is the same distribution as one component for the whole pixel, and nothing need be kept from colour to colour.
    """
    colour = earlier.shape[1]
    # Contiguous: the noise is laid out like the probabilities, and equal draws need equal noise.
    posterior = _joint_log_probability(mixture, earlier).softmax(1).contiguous()
    chosen = torch.multinomial(posterior, 1)
    mean = _coupled_mean(mixture, earlier, colour)
    uniform = torch.rand_like(mean[:, 0]).clamp(1e-7, 1.0 - 1e-7)
    return _pick(mean, chosen) + _pick(mixture.scales[:, :, colour], chosen) * torch.logit(uniform)


def _joint_log_probability(
    mixture: MixtureParameters, values: Float[Tensor, "b e *place"]
) -> Float[Tensor, "b k *place"]:
    """Log-probability of a component together with the first `e` colours."""
    total = F.log_softmax(mixture.logits, 1)
    for colour in range(values.shape[1]):
        mean = _coupled_mean(mixture, values, colour)
        inverse_scale = mixture.scales[:, :, colour].reciprocal()
        total = total + logistic_bin_log_probability(mean, inverse_scale, values[:, None, colour].expand_as(mean))
    return total


def _coupled_mean(
    mixture: MixtureParameters, values: Float[Tensor, "b e *place"], colour: int
) -> Float[Tensor, "b k *place"]:
    """Mean of a colour given those before it (Eq. 3)."""
    mean = mixture.means[:, :, colour]
    first = colour * (colour - 1) // 2
    for earlier in range(colour):
        mean = mean + mixture.couplings[:, :, first + earlier] * values[:, None, earlier]
    return mean


def _pick(each: Float[Tensor, "b k"], chosen: Int64[Tensor, "b 1"]) -> Float[Tensor, " b"]:
    return each.gather(1, chosen)[:, 0]
