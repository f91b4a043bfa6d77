"""Checkpoints: weights by name, in every framework's format, read and written without the frameworks.

>>> from converters.checkpoints import open_checkpoint, write_safetensors
>>> weights = open_checkpoint(Path("weights.pt"))
>>> write_safetensors(Path("weights.safetensors"), weights.tensors)

Readers copy nothing: tensors are mapped files until they are used. Writers take tensors and numpy arrays, keep
names, types and bits, and put the file in place in one step. `formats` is the table of formats, `layouts` what
frameworks call parameters and how they lay them out.
"""

from __future__ import annotations

from converters.checkpoints.checkpoint import Checkpoint
from converters.checkpoints.formats import FORMATS, NATIVE, open_checkpoint
from converters.checkpoints.mindspore_ckpt import write_mindspore_ckpt
from converters.checkpoints.npz import write_npz
from converters.checkpoints.onnx_initializers import write_onnx_initializers
from converters.checkpoints.pdparams import write_pdparams
from converters.checkpoints.safetensors import write_safetensors
from converters.checkpoints.tensors import Tensor
from converters.checkpoints.torch_zip import write_torch_zip

__all__ = [
    "FORMATS",
    "NATIVE",
    "Checkpoint",
    "Tensor",
    "open_checkpoint",
    "write_mindspore_ckpt",
    "write_npz",
    "write_onnx_initializers",
    "write_pdparams",
    "write_safetensors",
    "write_torch_zip",
]
