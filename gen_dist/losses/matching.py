"""What matchers of images and captions minimise, and a critic that asks whether an image fits its caption.

Rows of scores are images, columns are captions. Captions that read the same are one caption: an image that stands
beside another one's copy of its own caption is not mismatched.
"""

import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor


def same_captions(first: UInt8[Tensor, "n l"], second: UInt8[Tensor, "m l"]) -> Bool[Tensor, "n m"]:
    """Which captions read the same."""
    return (first[:, None] == second[None]).all(2)


def contrastive_loss(scores: Float[Tensor, "b b"], fits: Bool[Tensor, "b b"]) -> Float[Tensor, ""]:
    """Cross-entropy of finding the caption of each image, and the image of each caption, averaged, in nats.

    Zhang et al. 2020 (arXiv:2010.00747) and Radford et al. 2021 (arXiv:2103.00020), where an image fits its own caption
    alone. Where it fits several columns, each of them is asked for with the same probability.

    Args:
        scores: of every image of a batch with every caption of it.
        fits: which of them belong together; the diagonal at least.
    """
    wanted = fits.to(scores.dtype)
    of_images = F.cross_entropy(scores, wanted / wanted.sum(1, keepdim=True))
    of_captions = F.cross_entropy(scores.T, (wanted / wanted.sum(0, keepdim=True)).T)
    return 0.5 * (of_images + of_captions)


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
