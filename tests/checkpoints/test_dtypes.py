"""The table of element types against the libraries that it speaks of."""

import ml_dtypes
import numpy as np
import onnx
import pytest

from converters.dtypes import BY_ONNX, BY_SAFETENSORS, ELEMENT_TYPES, element_type
from converters.errors import UnsupportedError

NAMES_EXIST = """
import sys, importlib
module = importlib.import_module(sys.argv[1])
kind = module.Type if sys.argv[1] == "mindspore" else type(module.float32)
answer = [name for name in sys.argv[2:] if not isinstance(getattr(module, name, None), kind)]
"""

MINDIR_NUMBERS = """
from mindspore.train.mind_ir_pb2 import TensorProto
answer = dict(TensorProto.DataType.items())
"""


def test_onnx_numbers_and_names():
    for kind in BY_ONNX.values():
        assert onnx.TensorProto.DataType.Value(kind.onnx_name) == kind.onnx
    tensors = {9, 2, 3, 4, 5, 6, 7, 10, 16, 1, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22}
    assert set(BY_ONNX) == tensors


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_framework_names(ask, framework):
    names = [name for kind in ELEMENT_TYPES if (name := getattr(kind, framework))]
    assert ask(NAMES_EXIST, framework, *names) == []


def test_mindspore_names(ask):
    numbers = ask(MINDIR_NUMBERS)
    for kind in ELEMENT_TYPES:
        assert kind.mindir_name is None or numbers[kind.mindir_name] == kind.mindir
    names = [kind.mindspore for kind in ELEMENT_TYPES if kind.mindspore]
    assert ask(NAMES_EXIST, "mindspore", *names) == []


def test_every_name_leads_back_to_its_row():
    for kind in ELEMENT_TYPES:
        assert element_type(kind.numpy) is kind
        assert element_type(kind.name) is kind
    assert BY_SAFETENSORS["BF16"].numpy == np.dtype(ml_dtypes.bfloat16)
    assert element_type(np.dtype(">f4")).name == "float32"
    assert element_type("bfloat16").bytes == 2


@pytest.mark.parametrize("dtype", [np.dtype("U4"), object, "datetime64[s]", "nonsense"])
def test_other_types_are_refused(dtype):
    with pytest.raises(UnsupportedError, match="not one that tensors hold"):
        element_type(dtype)
