"""Log partition functions by annealed importance sampling (R. M. Neal 2001; R. Salakhutdinov, I. Murray 2008).

A path of unnormalised distributions p*_beta leads from one whose sum is known (beta 0) to the machine (beta 1). Chains
that follow the path collect weights, whose mean is the ratio of the two sums.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def annealed_log_partition(
    state: Float[Tensor, "n s"],
    *,
    rise: Callable[[Tensor, float, float], Tensor],
    move: Callable[[Tensor, float], Tensor],
    num_steps: int,
    log_base: Float[Tensor, ""],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Log Z and its standard error, in float64.

    Args:
        state: one state of each chain, drawn from beta 0.
        rise: log p*_following - log p*_now of each state.
        move: a transition of every chain that leaves p_beta unchanged.
        num_steps: from beta 0 to beta 1.
        log_base: log Z at beta 0.
    """
    num_chains = len(state)
    log_weight = torch.zeros(num_chains, dtype=torch.float64, device=state.device)
    for step in range(num_steps):
        now, following = step / num_steps, (step + 1) / num_steps
        log_weight += rise(state, now, following).double()
        state = move(state, following)
    log_mean_weight = torch.logsumexp(log_weight, 0) - math.log(num_chains)
    relative_weight = torch.exp(log_weight - log_mean_weight)  # mean 1
    return log_base + log_mean_weight, relative_weight.std() / math.sqrt(num_chains)
