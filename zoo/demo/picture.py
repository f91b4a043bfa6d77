"""A picture of a line of text, for a recogniser to read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.errors import MissingRuntime

TEXT = "Polyzoo 模型动物园 2026"
# WenQuanYi Micro Hei (Apache-2.0, or GPL-3.0 with font exception) has Latin and Chinese glyphs.
FONT = "pypi:paperang-p2-fonts-cjk==0.1.0!paperang_p2_fonts_cjk/fonts/wqy-microhei.ttc"
FONT_SHA256 = "2420e8078af796b19a3f6ef13de527a1a91c1e7171eea115926c614ced1009b3"
SIZE, MARGIN = 40, 12


def draw(text: str, font: Path, target: Path) -> npt.NDArray[np.uint8]:
    """Draw black text on white and save it.

    Args:
        text: One line.
        font: A font file with its glyphs.
        target: The .png file to write.

    Returns:
        The picture, [height, width, 3], 8 bits, RGB.

    Raises:
        MissingRuntime: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        raise MissingRuntime("Pillow is not installed", fix="pip install 'polyzoo[demo]'") from None
    shape = ImageFont.truetype(str(font), SIZE)
    width = int(shape.getlength(text)) + 2 * MARGIN
    picture = Image.new("RGB", (width, SIZE + MARGIN), "white")
    ImageDraw.Draw(picture).text((MARGIN, MARGIN // 4), text, font=shape, fill="black")
    picture.save(target)
    return np.asarray(picture)
