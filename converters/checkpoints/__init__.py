"""Checkpoints: names and tensors on disk, without the framework that made them.

One file per format, named after it. A format's file opens with its layout, its limits and where the
facts come from, and holds `write_<format>` (and its reader). `placing.py` is what writers share:
a file appears under its name whole, or not at all.

Tensors cross this room as numpy arrays, `ml_dtypes` for the types that numpy lacks. The bytes that are
written depend on names, values and their order alone: never on memory layout, byte order, versions or time.
"""

from converters.checkpoints.mindspore import write_mindspore_ckpt
from converters.checkpoints.paddle import write_pdparams
from converters.checkpoints.safetensors import write_safetensors

__all__ = ["write_mindspore_ckpt", "write_pdparams", "write_safetensors"]
