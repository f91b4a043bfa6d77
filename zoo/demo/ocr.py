"""What stands around the PP-OCRv4 text recogniser: preparing a picture, reading its answer.

Source: PaddleOCR, ppocr/data/imaug/rec_img_aug.py (`resize_norm_img`) and
ppocr/postprocess/rec_postprocess.py (`CTCLabelDecode`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

HEIGHT = 48


def prepare(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """A picture [height, width, 3] as the model's input [1, 3, 48, width'], from -1 to 1."""
    from PIL import Image

    width = round(picture.shape[1] * HEIGHT / picture.shape[0])
    resized = np.asarray(Image.fromarray(picture).resize((width, HEIGHT)), np.float32)
    # Channels come as blue, green, red.
    scaled = resized[..., ::-1] / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


def characters(metadata: str) -> list[str]:
    """The classes of the model: no character, those of its dictionary, the space.

    Args:
        metadata: The dictionary as the model's metadata holds it: a line for each character.
    """
    return ["", *metadata.splitlines(), " "]


def read(probabilities: npt.NDArray[Any], classes: Sequence[str]) -> str:
    """The text in an output [1, steps, classes]: the best class of each step, repeats once."""
    best = probabilities[0].argmax(axis=-1)
    changes = np.concatenate(([True], best[1:] != best[:-1]))
    return "".join(classes[k] for k in best[changes])
