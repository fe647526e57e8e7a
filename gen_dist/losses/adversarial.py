"""What critic and generator minimise, as functions of the critic's raw outputs ("scores"), and how far each is right.

| objective | critic minimises | generator minimises | source |
|---|---|---|---|
| minimax | -E log D(x) - E log(1 - D(G(z))) | E log(1 - D(G(z))) | Goodfellow et al. 2014, arXiv:1406.2661, Eq. 1 |
| non-saturating | the same | -E log D(G(z)) | the same paper, end of section 3 |
| least-squares | 1/2 E(s_x - 1)^2 + 1/2 E s_z^2 | 1/2 E(s_z - 1)^2 | Mao et al. 2017, arXiv:1611.04076, Eq. 2 and 9 |
| hinge | E max(0, 1 - s_x) + E max(0, 1 + s_z) | -E s_z | Lim and Ye 2017, arXiv:1705.02894 |
| wasserstein-clip, wasserstein-gp | E s_z - E s_x | -E s_z | Arjovsky et al. 2017, arXiv:1701.07875, Algorithm 1 |

s_x and s_z are the scores of real and generated images, and D = sigmoid(s). Least squares uses a, b, c = 0, 1, 1.
"""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Objective = Literal["minimax", "non-saturating", "least-squares", "hinge", "wasserstein-clip", "wasserstein-gp"]


def critic_loss(
    objective: Objective, real_scores: Float[Tensor, " r"], fake_scores: Float[Tensor, " f"]
) -> Float[Tensor, ""]:
    """What the critic minimises, without any penalty."""
    match objective:
        case "minimax" | "non-saturating":
            return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()
        case "least-squares":
            return 0.5 * ((real_scores - 1.0).square().mean() + fake_scores.square().mean())
        case "hinge":
            return F.relu(1.0 - real_scores).mean() + F.relu(1.0 + fake_scores).mean()
        case "wasserstein-clip" | "wasserstein-gp":
            return fake_scores.mean() - real_scores.mean()


def generator_loss(objective: Objective, fake_scores: Float[Tensor, " f"]) -> Float[Tensor, ""]:
    """What the generator minimises."""
    match objective:
        case "minimax":
            return -F.softplus(fake_scores).mean()
        case "non-saturating":
            return F.softplus(-fake_scores).mean()
        case "least-squares":
            return 0.5 * (fake_scores - 1.0).square().mean()
        case "hinge" | "wasserstein-clip" | "wasserstein-gp":
            return -fake_scores.mean()


def critic_accuracy(
    objective: Objective, real_scores: Float[Tensor, " r"], fake_scores: Float[Tensor, " f"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Shares of real and of generated images on the right side of the critic's threshold.

    The threshold is 0 where the score is a logit or has a margin around 0, 1/2 between the targets of least squares,
    and the midpoint of the two means for a Wasserstein critic, whose zero means nothing.
    """
    match objective:
        case "minimax" | "non-saturating" | "hinge":
            threshold = real_scores.new_zeros(())
        case "least-squares":
            threshold = real_scores.new_full((), 0.5)
        case "wasserstein-clip" | "wasserstein-gp":
            threshold = 0.5 * (real_scores.mean() + fake_scores.mean())
    real_right = (real_scores > threshold).to(real_scores.dtype).mean()
    fake_right = (fake_scores < threshold).to(fake_scores.dtype).mean()
    return real_right, fake_right
