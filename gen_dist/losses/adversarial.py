"""What critic and generator minimise, as functions of the critic's raw outputs ("scores"), and how far each is right.

| objective | critic minimises | generator minimises | source |
|---|---|---|---|
| minimax | -E log D(x) - E log(1 - D(G(z))) | E log(1 - D(G(z))) | Goodfellow et al. 2014, arXiv:1406.2661, Eq. 1 |
| non-saturating | the same | -E log D(G(z)) | the same paper, end of section 3 |
| least-squares | 1/2 E(s_x - 1)^2 + 1/2 E s_z^2 | 1/2 E(s_z - 1)^2 | Mao et al. 2017, arXiv:1611.04076, Eq. 2 and 9 |
| hinge | E max(0, 1 - s_x) + E max(0, 1 + s_z) | -E s_z | Lim and Ye 2017, arXiv:1705.02894 |
| wasserstein | E s_z - E s_x | -E s_z | Arjovsky et al. 2017, arXiv:1701.07875, Algorithm 1 |

s_x and s_z are the scores of real and generated images, and D = sigmoid(s). Least squares uses a, b, c = 0, 1, 1.
"wasserstein-clip" and "wasserstein-gp" are the Wasserstein objective with the constraint of its two classic papers.
"""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Objective = Literal[
    "minimax", "non-saturating", "least-squares", "hinge", "wasserstein", "wasserstein-clip", "wasserstein-gp"
]


def critic_loss(
    objective: Objective,
    real_scores: Float[Tensor, " r"],
    fake_scores: Float[Tensor, " f"],
    *,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """What the critic minimises, without any penalty.

    Args:
        objective: which row of the table above.
        real_scores: raw outputs for real images.
        fake_scores: raw outputs for generated images.
        label_smoothing: by how much the label of a real image is below 1; that of a generated one stays 0 (Salimans et
            al. 2016, arXiv:1606.03498, section 3.4). Only "minimax" and "non-saturating" have such labels.
    """
    match objective:
        case "minimax" | "non-saturating":
            loss = F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()
            # The cross entropy with the label 1 - a is that with the label 1, plus a times the logit.
            return loss + label_smoothing * real_scores.mean() if label_smoothing else loss
        case "least-squares":
            return 0.5 * ((real_scores - 1.0).square().mean() + fake_scores.square().mean())
        case "hinge":
            return F.relu(1.0 - real_scores).mean() + F.relu(1.0 + fake_scores).mean()
        case "wasserstein" | "wasserstein-clip" | "wasserstein-gp":
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
        case "hinge" | "wasserstein" | "wasserstein-clip" | "wasserstein-gp":
            return -fake_scores.mean()


def critic_metrics(
    objective: Objective, real_scores: Float[Tensor, " r"], fake_scores: Float[Tensor, " f"]
) -> dict[str, Float[Tensor, ""]]:
    """Mean scores of real and of generated images, and the shares of both on the right side of the critic's threshold.

    The threshold is 0 where the score is a logit or has a margin around 0, 1/2 between the targets of least squares,
    and the midpoint of the two means for a Wasserstein critic, whose zero means nothing.
    """
    real_scores, fake_scores = real_scores.detach(), fake_scores.detach()
    real_score, fake_score = real_scores.mean(), fake_scores.mean()
    threshold: Tensor | float
    match objective:
        case "minimax" | "non-saturating" | "hinge":
            threshold = 0.0
        case "least-squares":
            threshold = 0.5
        case "wasserstein" | "wasserstein-clip" | "wasserstein-gp":
            threshold = 0.5 * (real_score + fake_score)
    return {
        "real_score": real_score,
        "fake_score": fake_score,
        "real_accuracy": (real_scores > threshold).to(real_scores.dtype).mean(),
        "fake_accuracy": (fake_scores < threshold).to(fake_scores.dtype).mean(),
    }


def diversity(images: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Standard deviation over the batch, averaged over pixels; a generator that always makes one image has 0."""
    return images.std(dim=0, correction=0).mean()
