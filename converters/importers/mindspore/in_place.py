"""Operators that change their first input -> those that give the same anew.

Whoever reads the input afterwards sees what it has become; `Load` gives what it was until then. MindSpore itself is of
two minds where nothing takes the result (`y.add_(x)`): cells that live forget it, programs do not.
"""

from __future__ import annotations

from collections.abc import Mapping

IN_PLACE: Mapping[str, str] = {
    "InplaceAddExt": "AddExt",
    "InplaceAddsExt": "AddScalar",
    "InplaceClampScalar": "ClampScalar",
    "InplaceClampTensor": "ClampTensor",
    "InplaceDiv": "Div",
    "InplaceDivMod": "DivMod",
    "InplaceDivMods": "DivMods",
    "InplaceDivs": "Divs",
    "InplaceElu": "EluExt",
    "InplaceExp": "Exp",
    "InplaceFloor": "Floor",
    "InplaceFloorDivide": "FloorDiv",
    "InplaceHardtanh": "Hardtanh",
    "InplaceLog": "Log",
    "InplaceMaskedFillScalar": "MaskedFillScalar",
    "InplaceMaskedFillTensor": "MaskedFill",
    "InplaceMul": "Mul",
    "InplaceMuls": "Muls",
    "InplaceReLU": "ReLU",
    "InplaceRemainderTensorScalar": "RemainderTensorScalar",
    "InplaceRemainderTensorTensor": "RemainderTensorTensor",
    "InplaceSiLU": "SiLU",
    "InplaceSigmoid": "Sigmoid",
    "InplaceSign": "Sign",
    "InplaceStopGradient": "StopGradient",
    "InplaceSubExt": "SubExt",
    "InplaceSubScalar": "SubScalar",
    "InplaceTanh": "Tanh",
    "InplaceThreshold": "Threshold",
    "InplaceZero": "ZerosLike",
}
