"""Captions as models read them: UTF-8 bytes of one length, filled up with zeros.

No caption and an empty one are the same: zeros alone. A caption that is too long is cut where a character ends.
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

MAX_CAPTION_BYTES = 512


def caption_bytes_of(caption: str | None) -> int:
    """Room that a caption takes in a batch: its bytes in UTF-8, at most `MAX_CAPTION_BYTES`."""
    return 0 if caption is None else min(len(caption.encode()), MAX_CAPTION_BYTES)


def encode_captions(captions: Iterable[str | None], caption_bytes: int) -> UInt8[Tensor, "b l"]:
    """Captions as they stand in `ImageBatch.captions`.

    Args:
        captions: one for each image; None for no caption.
        caption_bytes: length of a row, as in `DataSpec.caption_bytes`. Longer captions are cut after the last character
            of which all bytes fit.
    """
    rows = [_cut(caption or "", caption_bytes).ljust(caption_bytes, b"\0") for caption in captions]
    flat = np.frombuffer(b"".join(rows), dtype=np.uint8)
    return torch.from_numpy(flat.reshape(len(rows), caption_bytes).copy())


def decode_captions(captions: UInt8[Tensor, "b l"]) -> list[str]:
    """Inverse of `encode_captions`: one text for each image, "" where there is none."""
    return [row.tobytes().rstrip(b"\0").decode(errors="replace") for row in captions.cpu().numpy()]


def _cut(caption: str, num_bytes: int) -> bytes:
    data = caption.encode()
    # Only the last character can be incomplete after the cut, so only that one is left out.
    return data if len(data) <= num_bytes else data[:num_bytes].decode(errors="ignore").encode()
