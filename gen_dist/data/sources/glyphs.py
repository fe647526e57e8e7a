"""Symbols drawn from a font, with their Unicode names as captions: pictures and words for text-to-image, anywhere.

Without a font of one's own, the DejaVu fonts that matplotlib brings: black symbols on white, in four typefaces. With a
colour font, such as Noto Color Emoji, emoji in colour.
"""

import unicodedata
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import final

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from gen_dist.data.errors import DataError
from gen_dist.data.schema import SplitName
from gen_dist.data.sources.source import Example

DEJAVU = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")
# Symbols (emoji among them), of mathematics, of currencies.
CATEGORIES = ("So", "Sm", "Sc")
POINTS_PER_SIDE = 4
INK_SHARE = 0.75
# Colour fonts of bitmaps have one size only: that of Noto's, and others that are in use.
BITMAP_SIZES = (109, 136, 128, 160, 96, 64, 32)


@final
class GlyphsSource:
    """Every symbol that a font has, in RGB on white. A symbol's typefaces all fall into the same split.

    Names come from the Unicode version of the running Python: one that does not know a symbol leaves it out.

    Args:
        font: a TrueType or OpenType file; None for the DejaVu fonts.
        size: side of the square images, 8 to 512 pixels.
    """

    class_names: tuple[str, ...] = ()
    published_splits: frozenset[SplitName] = frozenset()
    has_text = True

    def __init__(self, font: Path | None = None, *, size: int = 32) -> None:
        if not 8 <= size <= 512:
            raise ValueError(f"size is {size}: glyphs have 8 to 512 pixels")
        self.name = "glyphs" if font is None else f"glyphs:{font}"
        self._size = size
        dejavu = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        self._fonts = {
            path.stem: _open(path, size) for path in ([dejavu / name for name in DEJAVU] if font is None else [font])
        }
        self._glyphs = [
            (character, typeface)
            for typeface, (characters, drawing) in self._fonts.items()
            for character in characters
            if _draws(drawing, character)
        ]
        if not self._glyphs:
            raise DataError(f"{self.name} has no symbols: choose another font")

    @property
    def num_examples(self) -> int:
        """Symbols of all typefaces."""
        return len(self._glyphs)

    def examples(self) -> Iterator[Example]:
        """In the order of typefaces and code points."""
        for character, typeface in self._glyphs:
            code = f"U+{ord(character):04X}"
            yield Example(
                id=f"{typeface}/{code}",
                where=f"{self.name} {typeface} {code}",
                load=partial(self._image, character, typeface),
                text=unicodedata.name(character).lower(),
                group=code,
            )

    def _image(self, character: str, typeface: str) -> Image.Image:
        _, font = self._fonts[typeface]
        left, top, right, bottom = font.getbbox(character)
        # A font that is scaled gives each symbol its size beside the others; only what is too large is made smaller.
        side = max(int(right - left), int(bottom - top), round(font.size / INK_SHARE))
        page = Image.new("RGB", (side, side), "white")
        place = ((side - left - right) / 2, (side - top - bottom) / 2)
        ImageDraw.Draw(page).text(place, character, fill="black", font=font, embedded_color=True)
        return page.resize((self._size, self._size), Image.Resampling.LANCZOS)


def _open(path: Path, size: int) -> tuple[list[str], ImageFont.FreeTypeFont]:
    """The symbols of a font in the order of their code points, and the font to draw them with."""
    if not path.is_file():
        raise DataError(f"{path} does not exist: name a font as glyphs:FONT.ttf")
    try:
        codes = sorted(FT2Font(str(path)).get_charmap())
        wanted = round(size * POINTS_PER_SIDE * INK_SHARE)
        font = _at_size(path, (wanted, *BITMAP_SIZES))
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path} is not a font that can be read ({error})") from error
    return [chr(code) for code in codes if _is_symbol(chr(code))], font


def _at_size(path: Path, sizes: tuple[int, ...]) -> ImageFont.FreeTypeFont:
    *others, last = sizes
    for size in others:
        try:
            return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
        except OSError:
            continue
    return ImageFont.truetype(path, last, layout_engine=ImageFont.Layout.BASIC)


def _is_symbol(character: str) -> bool:
    return unicodedata.category(character) in CATEGORIES and bool(unicodedata.name(character, ""))


def _draws(font: ImageFont.FreeTypeFont, character: str) -> bool:
    """Whether there is anything to see: some fonts have empty glyphs."""
    return font.getmask(character).getbbox() is not None
