"""What matchers of images and captions minimise, and a critic that asks whether an image fits its caption.

Captions that read the same are one caption: an image beside another one's copy of its own caption is no wrong pair.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def contrastive_loss(scores: Float[Tensor, "b b"]) -> Float[Tensor, ""]:
    """Cross-entropy of finding the caption of each image, and the image of each caption, averaged, in nats.

    Zhang et al. 2020 (arXiv:2010.00747) and Radford et al. 2021 (arXiv:2103.00020). Captions that read the same score
    the same, so their images are pulled alike to all of them; k of them have log k as their least loss.

    Args:
        scores: of every image of a batch with every caption of it; what belongs together stands on the diagonal.
    """
    own = torch.arange(len(scores), device=scores.device)
    return 0.5 * (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own))


def matching_aware_loss(
    right_scores: Float[Tensor, " b"],
    wrong_scores: Float[Tensor, " b"],
    fake_scores: Float[Tensor, " b"],
    mismatched: Bool[Tensor, " b"],
) -> Float[Tensor, ""]:
    """What the critic of GAN-CLS minimises: -log s_r - (log(1 - s_w) + log(1 - s_f)) / 2, s = sigmoid(score).

    Reed et al. 2016, arXiv:1605.05396, Algorithm 1.

    Args:
        right_scores: of real images with their captions.
        wrong_scores: of real images with captions of others.
        fake_scores: of generated images with the captions that they were made for.
        mismatched: which of those other captions really read differently; the rest count as 0.
    """
    wrong = F.softplus(wrong_scores) * mismatched
    return F.softplus(-right_scores).mean() + 0.5 * (wrong.mean() + F.softplus(fake_scores).mean())
