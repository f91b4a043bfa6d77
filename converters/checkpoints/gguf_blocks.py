"""Quantised blocks of GGUF: what each type packs into a block of bytes, and how numbers come out of it.

A block is a fixed number of elements in a fixed number of bytes; every function takes blocks as rows of bytes,
[N, bytes], and gives float32, [N, elements]. `d` is a scale, `m` a minimum, `q` the small integers. K-quants are
super-blocks of 256 with scales of their own for every 16 or 32.

Source: the structs of ggml-common.h and the `dequantize_row_*` functions of ggml-quants.c in llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]

# Of four-bit codes that are no evenly spaced numbers.
IQ4 = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)
FP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)


@dataclass(frozen=True)
class BlockType:
    """A type of blocks: elements and bytes in one, and what unpacks them."""

    name: str
    elements: int
    bytes: int
    unpack: Callable[[Bytes], Floats]


def _half(blocks: Bytes, at: int) -> Floats:
    """The float16 at a byte of every block, as a column."""
    pair = np.ascontiguousarray(blocks[:, at : at + 2])
    return pair.view("<f2").astype(np.float32)


def _nibbles(packed: Bytes) -> npt.NDArray[np.uint8]:
    """Low halves of all bytes, then their high halves."""
    return np.concatenate([packed & 0x0F, packed >> 4], axis=1)


def _fifth_bits(blocks: Bytes, at: int) -> npt.NDArray[np.uint8]:
    """32 bits of a u32, each as bit 4 of a byte."""
    bits = np.unpackbits(blocks[:, at : at + 4], axis=1, bitorder="little")
    return np.left_shift(bits, 4, dtype=np.uint8)


def _q4_0(b: Bytes) -> Floats:
    return _half(b, 0) * (_nibbles(b[:, 2:18]).astype(np.float32) - 8)


def _q4_1(b: Bytes) -> Floats:
    return _half(b, 0) * _nibbles(b[:, 4:20]).astype(np.float32) + _half(b, 2)


def _q5_0(b: Bytes) -> Floats:
    q = _nibbles(b[:, 6:22]) | _fifth_bits(b, 2)
    return _half(b, 0) * (q.astype(np.float32) - 16)


def _q5_1(b: Bytes) -> Floats:
    q = _nibbles(b[:, 8:24]) | _fifth_bits(b, 4)
    return _half(b, 0) * q.astype(np.float32) + _half(b, 2)


def _q8_0(b: Bytes) -> Floats:
    return _half(b, 0) * b[:, 2:34].view(np.int8).astype(np.float32)


def _q2_k(b: Bytes) -> Floats:
    scales, qs = b[:, :16], b[:, 16:80].reshape(-1, 2, 1, 32)
    q = (qs >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)) & 3
    d = _half(b, 80) * (scales & 0x0F).astype(np.float32)
    m = _half(b, 82) * (scales >> 4).astype(np.float32)
    return (d[..., None] * q.reshape(-1, 16, 16).astype(np.float32) - m[..., None]).reshape(-1, 256)


def _q3_k(b: Bytes) -> Floats:
    mask, qs, packed = b[:, :32], b[:, 32:96].reshape(-1, 2, 1, 32), b[:, 96:108]
    low = np.concatenate([packed[:, :8] & 0x0F, packed[:, :8] >> 4], axis=1)
    shifts = np.array([0, 2, 4, 6], np.uint8).reshape(1, 4, 1)
    high = ((packed[:, None, 8:12] >> shifts) & 3).reshape(-1, 16)
    scales = (low | high << 4).astype(np.int8) - 32
    d: Floats = _half(b, 108) * scales.astype(np.float32)
    q = ((qs >> shifts[:, None]) & 3).reshape(-1, 8, 32).astype(np.int8)
    bits = (mask[:, None, :] >> np.arange(8, dtype=np.uint8).reshape(1, 8, 1)) & 1
    q = q - ((bits ^ 1) << 2).astype(np.int8)
    return np.asarray(d[..., None] * q.reshape(-1, 16, 16), np.float32).reshape(-1, 256)


def _scales_and_minima(packed: Bytes) -> tuple[Floats, Floats]:
    """Eight scales and eight minima of six bits each, in twelve bytes."""
    a, b, c = packed[:, :4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([a & 63, (c & 0x0F) | (a >> 6) << 4], axis=1)
    minima = np.concatenate([b & 63, (c >> 4) | (b >> 6) << 4], axis=1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _q4_k(b: Bytes) -> Floats:
    scales, minima = _scales_and_minima(b[:, 4:16])
    d, m = _half(b, 0) * scales, _half(b, 2) * minima
    qs = b[:, 16:144].reshape(-1, 4, 1, 32)
    q = (qs >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1)) & 0x0F
    return (d[..., None] * q.reshape(-1, 8, 32).astype(np.float32) - m[..., None]).reshape(-1, 256)


def _q5_k(b: Bytes) -> Floats:
    scales, minima = _scales_and_minima(b[:, 4:16])
    d, m = _half(b, 0) * scales, _half(b, 2) * minima
    qs = b[:, 48:176].reshape(-1, 4, 1, 32)
    low = ((qs >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1)) & 0x0F).reshape(-1, 8, 32)
    high = (b[:, None, 16:48] >> np.arange(8, dtype=np.uint8).reshape(1, 8, 1)) & 1
    q = (low | high << 4).astype(np.float32)
    return (d[..., None] * q - m[..., None]).reshape(-1, 256)


def _q6_k(b: Bytes) -> Floats:
    ql, qh = b[:, :128].reshape(-1, 2, 1, 64), b[:, 128:192].reshape(-1, 2, 1, 32)
    low = ((ql >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1)) & 0x0F).reshape(-1, 8, 32)
    high = ((qh >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)) & 3).reshape(-1, 8, 32)
    q = (low | high << 4).astype(np.int8) - 32
    d = _half(b, 208) * b[:, 192:208].view(np.int8).astype(np.float32)
    return np.asarray(d[..., None] * q.reshape(-1, 16, 16), np.float32).reshape(-1, 256)


def _q8_k(b: Bytes) -> Floats:
    d = np.ascontiguousarray(b[:, :4]).view("<f4")
    return np.asarray(d * b[:, 4:260].view(np.int8).astype(np.float32), np.float32)


def _iq4_nl(b: Bytes) -> Floats:
    return np.asarray(_half(b, 0) * IQ4[_nibbles(b[:, 2:18])], np.float32)


def _iq4_xs(b: Bytes) -> Floats:
    high = np.ascontiguousarray(b[:, 2:4]).view("<u2")
    high = (high >> np.arange(0, 16, 2, dtype=np.uint16)) & 3
    low = np.stack([b[:, 4:8] & 0x0F, b[:, 4:8] >> 4], axis=-1).reshape(-1, 8)
    scales = (low | high << 4).astype(np.int16) - 32
    d = _half(b, 0) * scales.astype(np.float32)
    qs = b[:, 8:136].reshape(-1, 8, 1, 16)
    q = (qs >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1)) & 0x0F
    return np.asarray(d[..., None] * IQ4[q.reshape(-1, 8, 32)], np.float32).reshape(-1, 256)


def _digits(packed: Bytes, count: int) -> Floats:
    """Digits of base three, the first of all bytes first; a byte is a fraction of 256, rounded up."""
    powers = np.array([1, 3, 9, 27, 81], np.uint8)[:count].reshape(1, -1, 1)
    # What is above the point are the digits before: the product wraps on purpose.
    fractions = (packed[:, None, :] * powers).astype(np.uint16)
    return ((fractions * 3) >> 8).reshape(-1, count * packed.shape[1]).astype(np.float32)


def _tq1_0(b: Bytes) -> Floats:
    q = np.concatenate(
        [_digits(b[:, :32], 5), _digits(b[:, 32:48], 5), _digits(b[:, 48:52], 4)], axis=1
    )
    return _half(b, 52) * (q - 1)


def _tq2_0(b: Bytes) -> Floats:
    qs = b[:, :64].reshape(-1, 2, 1, 32)
    q = (qs >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)) & 3
    return _half(b, 64) * (q.reshape(-1, 256).astype(np.float32) - 1)


def _mxfp4(b: Bytes) -> Floats:
    # The codes are twice the numbers they mean, so the scale is half: 2^(e - 128).
    d = np.ldexp(np.float32(1), b[:, :1].astype(np.int32) - 128).astype(np.float32)
    return np.asarray(d * FP4[_nibbles(b[:, 1:17])], np.float32)


# By number of the type in the file.
BLOCK_TYPES: Mapping[int, BlockType] = MappingProxyType(
    {
        2: BlockType("Q4_0", 32, 18, _q4_0),
        3: BlockType("Q4_1", 32, 20, _q4_1),
        6: BlockType("Q5_0", 32, 22, _q5_0),
        7: BlockType("Q5_1", 32, 24, _q5_1),
        8: BlockType("Q8_0", 32, 34, _q8_0),
        10: BlockType("Q2_K", 256, 84, _q2_k),
        11: BlockType("Q3_K", 256, 110, _q3_k),
        12: BlockType("Q4_K", 256, 144, _q4_k),
        13: BlockType("Q5_K", 256, 176, _q5_k),
        14: BlockType("Q6_K", 256, 210, _q6_k),
        15: BlockType("Q8_K", 256, 292, _q8_k),
        20: BlockType("IQ4_NL", 32, 18, _iq4_nl),
        23: BlockType("IQ4_XS", 256, 136, _iq4_xs),
        34: BlockType("TQ1_0", 256, 54, _tq1_0),
        35: BlockType("TQ2_0", 256, 66, _tq2_0),
        39: BlockType("MXFP4", 32, 17, _mxfp4),
    }
)
# Types that are known and not unpacked: elements and bytes of a block.
OTHER_TYPES: Mapping[int, tuple[str, int, int]] = MappingProxyType(
    {
        # Of 40 bytes until 2023, and nothing in a file says which: a guess could be wrong numbers.
        9: ("Q8_1", 32, 36),
        16: ("IQ2_XXS", 256, 66),
        17: ("IQ2_XS", 256, 74),
        18: ("IQ3_XXS", 256, 98),
        19: ("IQ1_S", 256, 50),
        21: ("IQ3_S", 256, 110),
        22: ("IQ2_S", 256, 82),
        29: ("IQ1_M", 256, 56),
        40: ("NVFP4", 64, 36),
        41: ("Q1_0", 128, 18),
    }
)


def unpack(kind: BlockType, blocks: npt.NDArray[Any]) -> Floats:
    """Blocks as rows of bytes -> their elements, one after the other, as float32."""
    # Scales of a broken file may be infinite; so are the numbers then.
    with np.errstate(all="ignore"):
        return kind.unpack(blocks).reshape(-1)
