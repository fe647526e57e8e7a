"""Pictures as files: PNG for one that stands still, GIF or WebP for one that moves, by the file's name."""

import io
from collections.abc import Collection, Sequence
from pathlib import Path

from PIL import Image

from gen_dist.data.storage import open_storage

STILL = ".png"
MOVING = (".gif", ".webp")
FRAME_MILLISECONDS = 80
HOLD_MILLISECONDS = 800
"""How long the ends of a movement stay, to be looked at."""


def is_moving(path: Path, *, may_move: bool = True) -> bool:
    """Whether a file's name asks for an animation.

    Raises:
        ValueError: the name ends in something else, or in that of an animation where there is none.
    """
    suffix = path.suffix.lower()
    if suffix == STILL:
        return False
    if suffix in MOVING and may_move:
        return True
    moving = f", or in {' or '.join(MOVING)} for an animation" if may_move else ""
    raise ValueError(f"{path} is no name for this picture: let it end in {STILL}{moving}")


def save_picture(frames: Sequence[Image.Image], path: Path, *, held: Collection[int] = (0,)) -> None:
    """Write one frame as PNG, or several as GIF or WebP that runs forever; whole or not at all.

    WebP keeps every pixel; GIF has 256 colours, enough for grey images. Equal frames that follow each other become one
    frame of the file, which stays as long as both.

    Args:
        frames: all of one size.
        path: of the file.
        held: numbers of the frames that stay longer than the others.

    Raises:
        ValueError: there are no frames, or the file's name does not suit them.
    """
    if not frames:
        raise ValueError("there are no frames to show")
    buffer = io.BytesIO()
    durations = [HOLD_MILLISECONDS if index in held else FRAME_MILLISECONDS for index in range(len(frames))]
    if not is_moving(path):
        if len(frames) > 1:
            raise ValueError(f"{path} would be one picture, and there are {len(frames)}: let it end in .gif or .webp")
        frames[0].save(buffer, format="PNG")
    elif path.suffix.lower() == ".gif":
        frames[0].save(buffer, format="GIF", save_all=True, append_images=list(frames[1:]), duration=durations, loop=0)
    else:
        first, *others = (frame.convert("RGB") for frame in frames)
        first.save(
            buffer, format="WEBP", save_all=True, append_images=others, duration=durations, loop=0, lossless=True
        )
    open_storage(path.absolute().parent).write_bytes(path.name, buffer.getvalue())


def there_and_back(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """The frames, then those between the ends backwards, so that the repetition has no jump."""
    return [*frames, *frames[-2:0:-1]]
