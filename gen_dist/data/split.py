"""Which split an image belongs to, and where it stands in it: functions of its id alone."""

import hashlib
from dataclasses import dataclass

from gen_dist.data.schema import SplitName

HASH_RANGE = 1 << 64


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitShares:
    """Shares of the images that are held out, where the source has not published these splits itself.

    Attributes:
        validation: share of the images.
        test: share of the images.
    """

    validation: float = 0.1
    test: float = 0.2

    def __post_init__(self) -> None:
        for name, share in (("validation", self.validation), ("test", self.test)):
            if not 0.0 <= share < 1.0:
                raise ValueError(f"the share of {name} is {share}: it must be at least 0 and below 1")
        if self.validation + self.test >= 1.0:
            raise ValueError(
                f"validation ({self.validation}) and test ({self.test}) leave nothing to train on: their sum must be "
                "below 1"
            )


def split_of(
    image_id: str, published: SplitName | None, published_splits: frozenset[SplitName], shares: SplitShares
) -> SplitName:
    """The split of one image.

    Held-out splits that were published stay as they are; the missing ones are carved out of the rest by a hash of the
    id, so that neither the order nor the number of images nor another import moves an image from one to another.

    Args:
        image_id: unique in its source.
        published: the split in which the source puts it, None if it has none.
        published_splits: all splits that the source has published.
        shares: of the splits that it has not.
    """
    if published in ("validation", "test"):
        return published
    place = id_hash(b"split", image_id) / HASH_RANGE
    test = 0.0 if "test" in published_splits else shares.test
    if place < test:
        return "test"
    if "validation" not in published_splits and place < test + shares.validation:
        return "validation"
    return "train"


def id_hash(purpose: bytes, image_id: str) -> int:
    """64 bits, uniform over ids and independent for every purpose."""
    return int.from_bytes(hashlib.blake2b(image_id.encode(), digest_size=8, person=purpose).digest(), "big")
