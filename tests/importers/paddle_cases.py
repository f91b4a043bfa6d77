"""Small Paddle programs, one for each way of using an operator; saved and run by Paddle, in a process of its own.

    FLAGS_enable_pir_api=0 python paddle_cases.py FOLDER [NAME ...]

writes for each case NAME.pdmodel or NAME.json, NAME.pdiparams, and NAME.0.npz, NAME.1.npz: inputs `in:…` and outputs
`out:…` of `paddle.inference` at two sizes. A case that Paddle itself cannot save leaves NAME.failed.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

# Sizes of dimensions that are of any size: by axis, for the first and the second run.
SIZES = ((2, 5, 8, 10, 6), (3, 7, 11, 13, 9))

IMAGE = (("x", (None, 3, None, None), "float32"),)
FIXED = (("x", (None, 4, 9, 12), "float32"),)
LAST = (("x", (None, None, None, 3), "float32"),)
ROWS = (("x", (None, 6), "float32"),)
SEQUENCE = (("x", (None, None, 6), "float32"),)
PAIR = (("x", (None, 4, 5), "float32"), ("y", (None, 4, 5), "float32"))
WHOLE = (("x", (None, 4), "int64"), ("y", (None, 4), "int64"))
IDS = (("x", (None, None), "int64"),)
VOLUME = (("x", (None, 2, None, None, None), "float32"),)
INDEXED = (("x", (None, 6), "float32"), ("i", (None,), "int64"))
# Corners and sides of boxes, and scores of classes.
SCORED = (("x", (None, 12, 4), "float32"), ("s", (None, 3, 12), "float32"))
BOXES = (("x", (8, 4), "float32"), *FIXED)
MAP = (("x", (None, 16, None, None), "float32"), ("y", (None, 2), "float32"))


class Case(NamedTuple):
    """A layer.

    Attributes:
        forward: What it returns, of `x` and other inputs.
        inputs: Name, shape and element type of each.
        made: Statements that prepare `self`.
    """

    forward: str
    inputs: tuple = IMAGE
    made: str = "pass"


def _layer(made, inputs=IMAGE):
    return Case("self.f(x)", inputs, f"self.f = {made}")


# Boxes of about the same place, some of them turned round, with scores from 0 to 1.
_NEAR = "paddle.concat([x[..., :2], x[..., :2] + 2 + x[..., 2:] * 0.9], -1)"
_NMS = f"paddle._C_ops.multiclass_nms3({_NEAR}, s * 0.2 + 0.5, None, {{}}, {{}}, {{}}, {{}}, {{}}, 1.0, {{}})"
DETECTION = {
    # Threshold, most before and after, overlap, whether a pixel is no size, background.
    "nms_classes": Case(_NMS.format(0.3, 10, 5, 0.4, True, -1), SCORED),
    "nms_classes_all": Case(_NMS.format(0.1, -1, -1, 0.5, True, -1), SCORED),
    "nms_classes_pixels": Case(_NMS.format(0.2, 4, 100, 0.6, False, 0), SCORED),
    "nms_classes_turned": Case(
        _NMS.format(0.2, 9, 50, 0.5, True, -1).replace("+ 2 +", "- 2 +"), SCORED
    ),
    "nms_classes_none": Case(_NMS.format(1.5, 4, 100, 0.6, True, 1), SCORED),
    "nms_classes_one": Case(
        _NMS.format(0.2, 9, 7, 0.5, True, 2),
        (("x", (1, 12, 4), "float32"), ("s", (1, 3, 12), "float32")),
    ),
    **{
        f"nms_matrix_{name}": Case(
            f"paddle.vision.ops.matrix_nms({_NEAR}, s * 0.2 + 0.5, 0.2, {post}, {most}, {keep}, "
            f"{gaussian}, 2.0, {background}, {normalized}, return_index=True)",
            SCORED,
        )
        for name, post, most, keep, gaussian, background, normalized in [
            ("linear", 0.1, 10, 8, False, -1, True),
            ("gaussian", 0.05, -1, -1, True, 0, False),
        ]
    },
    "nms": Case(f"paddle.vision.ops.nms({_NEAR}, 0.4)", (("x", (None, 4), "float32"),)),
    "yolo_box": Case(
        "paddle.vision.ops.yolo_box(x, (y * y * 99 + 100).astype('int32'), [10, 13, 33, 23], 3, 0.4, 32)",
        MAP,
    ),
    "yolo_box_sure": Case(
        "paddle.vision.ops.yolo_box(x, (y * y * 99 + 100).astype('int32'), [10, 13, 33, 23], 2, 0.4, 16,"
        " clip_bbox=False, scale_x_y=1.2, iou_aware=True, iou_aware_factor=0.4)",
        MAP,
    ),
    "prior_box": Case(
        "paddle.vision.ops.prior_box(x, y, [30.0, 60.0], [60.0, 99.0], [2.0, 3.0], flip=True, clip=True)",
        (IMAGE[0], ("y", (None, 3, 100, 120), "float32")),
    ),
    "prior_box_order": Case(
        "paddle.vision.ops.prior_box(x, y, [30.0], [60.0], [1.0, 2.0], steps=[8.0, 9.0], min_max_aspect_ratios_order=True)",
        (IMAGE[0], ("y", (None, 3, 100, 120), "float32")),
    ),
    "anchors": Case(
        "paddle._C_ops.anchor_generator(x, [32.0, 50.0], [0.5, 1.0, 2.0], [0.1, 0.1, 0.2, 0.2], [16.0, 8.0], 0.5)"
    ),
    **{
        f"box_coder_{name}": Case(
            f"paddle.vision.ops.box_coder(x[0, :{size}], {variance}, {target}, '{form}_center_size', {normalized}, {axis})",
            (("x", (None, 12, 4), "float32"), ("y", (4, 12, 4), "float32")),
        )
        for name, size, variance, target, form, normalized, axis in [
            ("encode", 12, "[0.1, 0.1, 0.2, 0.2]", "y[0]", "encode", True, 0),
            ("encode_pixels", 5, "x[1, :5]", "y[0]", "encode", False, 0),
            ("decode", 12, "[0.1, 0.1, 0.2, 0.2]", "y", "decode", True, 0),
            ("decode_pixels", 4, "x[1, :4]", "y", "decode", False, 1),
        ]
    },
    **{
        f"roi_align_{name}": Case(
            "paddle.vision.ops.roi_align(x, b * b * 3 + paddle.to_tensor([0.0, 0, 3, 3]), "
            f"n, (3, 2), {scale}, {ratio}, {aligned})",
            (("x", (2, 3, 9, 12), "float32"), ("b", (7, 4), "float32"), ("n", (2,), "int32")),
        )
        for name, scale, ratio, aligned in [("aligned", 0.5, 2, True), ("adaptive", 1.0, -1, False)]
    },
    "proposals": Case(
        "paddle.vision.ops.generate_proposals(x[:, :4] * 0.2 + 0.5, y, paddle.full([x.shape[0], 2], 60.0), "
        "a.reshape([-1, 4]) * 5 + paddle.to_tensor([8.0, 8, 30, 30]), "
        "(a * a).reshape([-1, 4]) * 0.1, 40, 9, 0.6, 3.0, return_rois_num=True)",
        (
            ("x", (None, 4, 5, 6), "float32"),
            ("y", (None, 16, 5, 6), "float32"),
            ("a", (5, 6, 4, 4), "float32"),
        ),
    ),
    "distribute": Case(
        "paddle.vision.ops.distribute_fpn_proposals(paddle.concat([x[:, :2], x[:, :2] + x[:, 2:] * x[:, 2:] * 300], 1),"
        " 2, 5, 4, 224, False, n)",
        (("x", (7, 4), "float32"), ("n", (2,), "int32")),
    ),
    "roi_pool": Case(
        "paddle.vision.ops.roi_pool(x, b * b * 3 + paddle.to_tensor([0.0, 0, 3, 3]), n, (3, 2), 0.5)",
        (("x", (2, 3, 9, 12), "float32"), ("b", (7, 4), "float32"), ("n", (2,), "int32")),
    ),
    "deformable": Case(
        "self.f(x, o)",
        (("x", (None, 4, 9, 12), "float32"), ("o", (None, 18, 9, 12), "float32")),
        "self.f = paddle.vision.ops.DeformConv2D(4, 6, 3, padding=1)",
    ),
    "deformable_mask": Case(
        "self.f(x, o, m * 0.5)",
        (
            ("x", (None, 4, 9, 12), "float32"),
            ("o", (None, 36, 5, 6), "float32"),
            ("m", (None, 18, 5, 6), "float32"),
        ),
        "self.f = paddle.vision.ops.DeformConv2D(4, 6, 3, 2, 1, groups=2, deformable_groups=2)",
    ),
}
ARITHMETIC = {
    "atan2": Case("(paddle.atan2(x, y), paddle.atan2(x, y * 0), paddle.atan2(x * 0, y * 0))", PAIR),
    "extremes": Case("(paddle.fmax(x / F.relu(x), y), paddle.fmin(x, y / F.relu(y)))", PAIR),
    "extremes_whole": Case("(paddle.fmax(x, y), paddle.fmin(x, y))", WHOLE),
    "heaviside": Case("paddle.heaviside(F.relu(x), y)", PAIR),
    "lerp": Case("(paddle.lerp(x, y, 0.3), paddle.lerp(x, y, x))", PAIR),
    "logit": Case("(paddle.logit(x), paddle.logit(x * 0.1 + 0.5, 0.01))", PAIR[:1]),
    "trunc": Case("(paddle.trunc(x * 4), paddle.frac(x * 4))", ROWS),
    "swiglu": Case("(F.swiglu(x, x * 2), F.swiglu(x))", ROWS),
    "label_smooth": Case("F.label_smooth(x, epsilon=0.2)", ROWS),
    "broadcast_tensors": Case("paddle.broadcast_tensors([x, x[:, :1], x[0]])", PAIR[:1]),
    "cumprod": Case(
        "(paddle.cumprod(x, 1), paddle.cumprod(x, -1), paddle.cumprod(x, 0))", PAIR[:1]
    ),
    "cummax": Case(
        "(paddle.cummax(x, 1), paddle.cummin(x, -1), paddle.cummax(paddle.round(x), 2))", PAIR[:1]
    ),
    "cummin_whole": Case("paddle.cummin(x, 1, dtype='int32')", WHOLE[:1]),
    "logcumsumexp": Case("(paddle.logcumsumexp(x, 1), paddle.logcumsumexp(x * 9, -1))", PAIR[:1]),
    "frobenius": Case(
        "(paddle.linalg.norm(x, 'fro', [1, 2]), paddle.linalg.norm(x, 'fro', [0, 1], True))",
        PAIR[:1],
    ),
    "nansum": Case("(paddle.nansum(x / F.relu(x) * F.relu(x), 1), paddle.nansum(x))", PAIR[:1]),
    "spread": Case(
        "(paddle.std(x, axis=1), paddle.var(x), paddle.var(x, axis=[1, 2], unbiased=False, keepdim=True))",
        PAIR[:1],
    ),
    "copysign": Case(
        "(paddle.copysign(x, y), paddle.copysign(x, F.relu(y) * (x * 0 - 1.0)))", PAIR
    ),
    "multi_dot": Case("paddle.linalg.multi_dot([x, x.t(), x, x[0]])", ROWS),
    "flags_multiplied": Case("((x > 0) * (x < 1)) + (x < -1)", ROWS),
    "dist": Case(
        "(paddle.dist(x, y), paddle.dist(x, y, 1), paddle.dist(x, y, float('inf')), paddle.dist(x, y, 3))",
        PAIR,
    ),
    "cdist": Case("(paddle.cdist(x, y), paddle.pdist(x[0]))", PAIR),
    "einsum": Case(
        "(paddle.einsum('bij,bkj->bik', x, y), paddle.einsum('...ij, ...ij -> ...', x, y), paddle.einsum('bij->ji', x))",
        PAIR,
    ),
    "kron": Case("(paddle.kron(x[0], y[1]), paddle.kron(x, y[0]))", PAIR),
    "cross": Case(
        "(paddle.cross(x[0], y[0]), paddle.cross(x, y, 1))",
        (("x", (None, 3, 4), "float32"), ("y", (None, 3, 4), "float32")),
    ),
    "bilinear_product": Case("self.f(x, x * 2)", ROWS, "self.f = nn.Bilinear(6, 6, 3)"),
    "baddbmm": Case("paddle.baddbmm(x[:, :, :4], x, y.transpose([0, 2, 1]), 0.5, 2.0)", PAIR),
    "outer": Case(
        "(paddle.outer(x[0, 0], y[0, 1]), paddle.inner(x[0], y[0]), paddle.hypot(x, y))", PAIR
    ),
    "close": Case(
        "(paddle.isclose(x, x + y * 1e-5), paddle.allclose(x, x + 1e-7), paddle.allclose(x, y),"
        " paddle.isclose(x / F.relu(x), x / F.relu(x), equal_nan=True))",
        PAIR,
    ),
    "equal_all": Case(
        "(paddle.equal_all(x, x + 0), paddle.equal_all(x, y), paddle.equal_all(x, x[:, :2]))", PAIR
    ),
    "rint": Case("paddle.round(x * 3) + paddle.quantile(x, 0.4, axis=1, keepdim=True)", PAIR[:1]),
    "softmax_mask": Case(
        "paddle.incubate.softmax_mask_fuse(x, y)",
        (("x", (2, 4, 5, 6), "float32"), ("y", (2, 1, 5, 6), "float32")),
    ),
}
WINDOWS = {
    "unfold": Case("F.unfold(x, 3)"),
    "unfold_all": Case("F.unfold(x, [3, 2], [2, 1], [1, 0, 2, 1], [1, 2])"),
    "fold": Case("F.fold(x, [6, 7], [3, 2], [1, 2], 1)", (("x", (2, 12, 24), "float32"),)),
    "fold_back": Case(
        "F.fold(F.unfold(x, 4, 4), [8, 12], 4, 4)", (("x", (2, 3, 8, 12), "float32"),)
    ),
    "pixel_unshuffle": Case("F.pixel_unshuffle(x, 2)", (("x", (None, 3, 6, 8), "float32"),)),
    "pixel_unshuffle_last": Case(
        "F.pixel_unshuffle(x, 3, 'NHWC')", (("x", (None, 6, 9, 2), "float32"),)
    ),
    "temporal_shift": Case("F.temporal_shift(x, 4, 0.2)", (("x", (8, 10, 3, 5), "float32"),)),
    "response_norm": Case("F.local_response_norm(x, 3)", (("x", (2, 4, 9, 12), "float32"),)),
    "overlap_add": Case(
        "(paddle.signal.overlap_add(x, 3), paddle.signal.overlap_add(x[0], 4))",
        (("x", (None, 4, None), "float32"),),
    ),
    "frame": Case("paddle.signal.frame(x, 4, 3)", (("x", (None, 3, 16), "float32"),)),
}
# Statements in the middle of an expression: assignments to parts of a copy.
_SET = "written(x * 1.0, {}, {})"
INDEXING = {
    "set_number": Case(_SET.format("(slice(None), 0)", "1.5"), PAIR[:1]),
    "set_steps": Case(_SET.format("(slice(None), slice(None, None, 2))", "y[:, ::2]"), PAIR),
    "set_backwards": Case(
        _SET.format("(slice(None), slice(3, 0, -2), slice(1, -1))", "y[:, :2, :3]"), PAIR
    ),
    "set_last": Case(_SET.format("(-1, slice(None), -1)", "y[0, :, 0]"), PAIR),
    "set_rows": Case(
        _SET.format("slice(0, 2)", "self.p"), PAIR[:1], "self.p = self.create_parameter([5])"
    ),
    "set_new_axis": Case(_SET.format("(slice(None), None, 1)", "y[:, :1]"), PAIR),
    "set_computed": Case(_SET.format("(slice(0, x.shape[0] - 1), 1)", "0.5"), PAIR[:1]),
    "set_all": Case(_SET.format("slice(None)", "2.0"), PAIR[:1]),
    "set_list": Case(
        _SET.format("(slice(0, 1), 0)", "paddle.to_tensor([1.0, 2, 3, 4, 5])"), PAIR[:1]
    ),
    "set_twice": Case("(written(x, (slice(None), 0), 1.0) + x, x * 2)", PAIR[:1]),
    "set_seen": Case("seen(x)", PAIR[:1]),
    "set_mask": Case(_SET.format("x > 0", "0.25"), PAIR[:1]),
    "set_mask_rows": Case(_SET.format("x[:, 0, 0] > 0", "0.25"), PAIR[:1]),
    "set_index": Case(_SET.format("(i[:2] * 0 + paddle.arange(2), i[:2] % 6)", "7.0"), INDEXED),
    "set_index_first": Case(_SET.format("i[:1] % 2", "x[1:2] * 3"), INDEXED),
    "put_along": Case(
        "(paddle.put_along_axis(x, paddle.argsort(x, 1)[:, :2], x[:, 2:4], 1),"
        " paddle.put_along_axis(x, paddle.argsort(x, 1)[:, :2], 3.0, 1))",
        ROWS,
    ),
    **{
        f"put_along_{form}": Case(
            f"paddle.put_along_axis(x, paddle.argsort(x, 1)[:, :3] // 2, x[:, 2:5], 1, '{form}')",
            ROWS,
        )
        for form in ["add", "mul", "amin", "amax"]
    },
    "scatter_rows": Case(
        "(paddle.scatter(x, self.i, x[:2] * 2), paddle.scatter(x, self.i, x[:2], overwrite=False))",
        ROWS,
        "self.i = paddle.to_tensor([1, 0])",
    ),
    "scatter_again": Case(
        "paddle.scatter(x, self.i, x[:2], overwrite=False)",
        ROWS,
        "self.i = paddle.to_tensor([1, 1])",
    ),
    "index_add": Case("paddle.index_add(x, i[:2] % 6, 1, x[:, :2])", INDEXED),
    "masked_select": Case("(paddle.masked_select(x, x > 0), x[x < 1], x[:, x[0] > 0])", ROWS),
    "masked_wide": Case("paddle.masked_select(x, x[0] > 0)", ROWS),
    "repeat": Case(
        "(paddle.repeat_interleave(x, 3, 1), paddle.repeat_interleave(x, 2, 0), paddle.repeat_interleave(x, 2, 2))",
        PAIR[:1],
    ),
    "repeat_each": Case("paddle.repeat_interleave(x[:, :2], i[:2] % 3, 1)", INDEXED),
    "multiplex": Case("paddle.multiplex([x, x * 2], (x[:, :1] > 0).astype('int32'))", ROWS),
    "crop": Case("paddle.crop(x, [-1, 2, 3], [0, 1, 1])", PAIR[:1]),
    "diag": Case(
        "(paddle.diag(x[0]), paddle.diag(x[0], 1, 2.5), paddle.diag(x[0], -2), paddle.diag(x, 1))",
        ROWS,
    ),
    "diag_embed": Case("(paddle.diag_embed(x), F.diag_embed(x, -1, 0, 2))", ROWS),
    "diagonal": Case("(paddle.diagonal(x, 1, 1, 2), paddle.diagonal(x, -2, 2, 0))", PAIR[:1]),
    "trace": Case("(paddle.trace(x, 1, 1, 2), paddle.trace(x))", PAIR[:1]),
    "eye": Case(
        "(paddle.eye(6) + x[:1], paddle.eye(6, 70)[:, 2] + x, paddle.eye(70)[1, 2] + x)", ROWS
    ),
    "triangle_indices": Case(
        "(paddle.tril_indices(4, 3, 1) + i[0], paddle.triu_indices(4, 3, 0, 'int32') + i[0])",
        INDEXED[1:],
    ),
    "sequence_mask": Case(
        "(F.sequence_mask(i, 12), F.sequence_mask(i), F.sequence_mask(i, 7, 'float32'))",
        INDEXED[1:],
    ),
    "search_sorted": Case(
        "(paddle.searchsorted(paddle.sort(x, 1), x[:, :2]), paddle.bucketize(x, paddle.to_tensor([-1.0, 0.0, 1.0]), right=True))",
        ROWS,
    ),
    "search_sorted_whole": Case(
        "paddle.searchsorted(paddle.to_tensor([1, 3, 3, 7]), i, out_int32=True)", INDEXED[1:]
    ),
    "kth_value": Case("(paddle.kthvalue(x, 3, 1), paddle.kthvalue(x, 1, 0, True))", ROWS),
    "median": Case(
        "(paddle.median(x, axis=1), paddle.median(x), paddle.median(x, axis=-1, keepdim=True))",
        PAIR[:1],
    ),
    "median_none": Case("paddle.median(x / F.relu(x), axis=1)", PAIR[:1]),
    "nan_median": Case(
        "(paddle.nanmedian(x / F.relu(x) * F.relu(x), 1), paddle.nanmedian(x), paddle.nanmedian(x, -1, True))",
        PAIR[:1],
    ),
    "mode": Case("(paddle.mode(paddle.round(x), 1), paddle.mode(x, 0, True))", ROWS),
    "mode_whole": Case("paddle.mode(x // 3)", WHOLE[:1]),
    "unique": Case("paddle.unique(i, True, True, True)", INDEXED[1:]),
    "unique_axis": Case("paddle.unique(i % 2, axis=1)", (("i", (None, None), "int64"),)),
    "unique_consecutive": Case("paddle.unique_consecutive(i // 3, True, True)", INDEXED[1:]),
    "bin_count": Case(
        "(paddle.bincount(i), paddle.bincount(i, minlength=20), paddle.bincount(i, x))",
        (("i", (None,), "int64"), ("x", (None,), "float32")),
    ),
    "is_empty": Case("paddle.is_empty(x)", ROWS),
}
_Z = "(lambda z: {})(paddle.complex(x, y))"
_TWO = "self.w, self.b = self.create_parameter([6]), self.create_parameter([6])"
_FUSED = "paddle.incubate.nn.functional.fused_{}(x, {}, 1e-6, begin_norm_axis=2{})"
COMPLEX = {
    "complex": Case(
        _Z.format(
            "(paddle.as_real(z * z + z / (z + 2.0) - paddle.conj(z)), paddle.real(z), paddle.imag(z),"
            " paddle.abs(paddle.exp(z)), paddle.angle(z), paddle.angle(x))"
        ),
        PAIR,
    ),
    "complex_and_real": Case(
        _Z.format(
            "[paddle.as_real(one) for one in (z * x, x + z, x - z, z / x, x / z, x.astype('complex64'), z * 2.0 + 1.0)]"
        ),
        PAIR,
    ),
    "complex_shapes": Case(
        _Z.format(
            "[paddle.as_real(one) for one in (z.reshape([0, -1]).transpose([1, 0]), paddle.concat([z, z[:, 1:2]], 1),"
            " z.unsqueeze(1).expand([-1, 3, -1, -1]), z.sum(1), z.mean(), paddle.complex(x[:, :1], y[0]))]"
        ),
        PAIR,
    ),
    "complex_matmul": Case(
        _Z.format(
            "[paddle.as_real(one) for one in (z @ z.transpose([0, 2, 1]), paddle.matmul(z, z, True), x.astype('complex64') @ z[0].t())]"
        ),
        PAIR,
    ),
    "fft": Case(
        _Z.format(
            "[paddle.as_real(one) for one in (paddle.fft.fft(z), paddle.fft.ifft(z, axis=1), paddle.fft.fft(x, 3),"
            " paddle.fft.fft(x, 8, 0), paddle.fft.fftn(z, norm='forward'), paddle.fft.ifft2(z, norm='ortho'))]"
        ),
        PAIR,
    ),
    "fft_of_real": Case(
        "[paddle.as_real(one) for one in (paddle.fft.rfft(x), paddle.fft.rfft(x, 8, 1, 'ortho'), paddle.fft.rfft2(x),"
        " paddle.fft.ihfft(x), paddle.fft.fftshift(paddle.fft.fft(x)))]",
        PAIR[:1],
    ),
    "fft_to_real": Case(
        _Z.format(
            "(paddle.fft.irfft(z), paddle.fft.irfft(z, 7), paddle.fft.irfft2(paddle.fft.rfft2(x) * 2.0, (4, 5)),"
            " paddle.fft.hfft(z), paddle.fft.hfft(z, 7, norm='ortho'), paddle.fft.irfftn(z))"
        ),
        PAIR,
    ),
    "stft": Case(
        "(lambda s: (paddle.abs(s), paddle.signal.istft(s, 16, 4)))(paddle.signal.stft(x, 16, 4))",
        (("x", (None, 64), "float32"),),
    ),
    "rotary_complex": Case(
        "paddle.as_real(paddle.as_complex(x.reshape([0, 0, 3, 2])) * paddle.complex(paddle.cos(self.a),"
        " paddle.sin(self.a))).flatten(2)",
        SEQUENCE,
        "self.a = self.create_parameter([3])",
    ),
}
FUSED_NORMS = {
    "fused_rms_norm": Case(_FUSED.format("rms_norm", "self.w, self.b", "") + "[0]", SEQUENCE, _TWO),
    "fused_rms_norm_added": Case(
        _FUSED.format("rms_norm", "self.w, None", ", bias=self.b, residual=x * 2") + "[:2]",
        SEQUENCE,
        _TWO,
    ),
    "fused_layer_norm": Case(
        _FUSED.format("layer_norm", "self.w, self.b", "") + "[0]", SEQUENCE, _TWO
    ),
    "fused_layer_norm_added": Case(
        _FUSED.format(
            "layer_norm", "self.w, self.b", ", bias=self.b, residual=x * 2, residual_alpha=0.5"
        )
        + "[:2]",
        SEQUENCE,
        _TWO,
    ),
    "fused_layer_norm_alone": Case(
        _FUSED.format("layer_norm", "None, None", ", residual=x * 2") + "[0]", SEQUENCE
    ),
}
CASES = {
    # Convolution
    "conv": _layer("nn.Conv2D(3, 4, 3, stride=2, padding=1)"),
    "conv_same": _layer("nn.Conv2D(3, 4, 3, stride=2, padding='SAME')"),
    "conv_same_dilated": _layer("nn.Conv2D(3, 4, 3, padding='SAME', dilation=2)"),
    "conv_valid": _layer("nn.Conv2D(3, 4, (3, 2), padding='VALID')"),
    "conv_four_pads": _layer("nn.Conv2D(3, 4, 3, padding=[1, 2, 0, 3], dilation=2)"),
    "conv_groups": _layer("nn.Conv2D(4, 8, 3, groups=2)", FIXED),
    "conv_depthwise": _layer("nn.Conv2D(3, 3, 3, groups=3, bias_attr=False)"),
    "conv_last": _layer("nn.Conv2D(3, 4, 3, padding=1, data_format='NHWC')", LAST),
    "conv1d": _layer("nn.Conv1D(5, 4, 3, padding=1)", (("x", (None, 5, None), "float32"),)),
    "conv3d": _layer("nn.Conv3D(2, 3, 3, padding=1)", VOLUME),
    "conv_transpose": _layer("nn.Conv2DTranspose(3, 4, 3, stride=2, padding=1, output_padding=1)"),
    "conv_transpose_groups": _layer("nn.Conv2DTranspose(4, 6, 2, stride=2, groups=2)", FIXED),
    "conv_transpose_size": Case(
        "self.f(x, output_size=[18, 24])", FIXED, "self.f = nn.Conv2DTranspose(4, 2, 3, 2, 1)"
    ),
    "conv_transpose_depthwise": _layer("nn.Conv2DTranspose(4, 4, 2, stride=2, groups=4)", FIXED),
    # Pooling
    "max_pool": _layer("nn.MaxPool2D(3, 2, 1)"),
    "max_pool_ceil": _layer("nn.MaxPool2D(3, 2, ceil_mode=True)"),
    "max_pool_same": _layer("nn.MaxPool2D(3, 2, 'SAME')"),
    "avg_pool": _layer("nn.AvgPool2D(3, 2, 1)"),
    "avg_pool_inclusive": _layer("nn.AvgPool2D(3, 2, 1, exclusive=False)"),
    "avg_pool_ceil": _layer("nn.AvgPool2D(3, 2, 1, ceil_mode=True)"),
    "avg_pool_ceil_inclusive": _layer("nn.AvgPool2D(3, 2, 1, ceil_mode=True, exclusive=False)"),
    "avg_pool_same": _layer("nn.AvgPool2D(3, 2, 'SAME')"),
    "avg_pool_last": Case("F.avg_pool2d(x, 2, data_format='NHWC')", LAST),
    "avg_pool_sides": _layer("nn.AvgPool2D(3, 2, [1, 0, 0, 1])"),
    "max_pool_mask": Case("F.max_pool2d(x, 3, 2, 1, return_mask=True, ceil_mode=True)"),
    "max_pool_mask1d": Case(
        "F.max_pool1d(x, 2, return_mask=True)", (("x", (None, 5, None), "float32"),)
    ),
    "max_unpool": Case(
        "F.max_unpool2d(*F.max_pool2d(x, 2, return_mask=True), 2)",
        (("x", (None, 3, 8, 10), "float32"),),
    ),
    "lp_pool": Case("(F.lp_pool2d(x, 2, 2), F.lp_pool2d(x, 4, 3, 2, ceil_mode=True))"),
    "pool1d": _layer("nn.MaxPool1D(2)", (("x", (None, 5, None), "float32"),)),
    "pool3d": _layer("nn.AvgPool3D(2)", VOLUME),
    "adaptive_one": _layer("nn.AdaptiveAvgPool2D(1)"),
    "adaptive_avg": _layer("nn.AdaptiveAvgPool2D((3, 4))"),
    "adaptive_avg_fixed": _layer("nn.AdaptiveAvgPool2D((3, 5))", FIXED),
    "adaptive_avg_even": _layer("nn.AdaptiveAvgPool2D((3, 4))", FIXED),
    "adaptive_max": _layer("nn.AdaptiveMaxPool2D((3, 4))"),
    "adaptive_max_fixed": _layer("nn.AdaptiveMaxPool2D((4, 5))", FIXED),
    # Normalisation
    "batch_norm": _layer("nn.BatchNorm2D(3)"),
    "batch_norm_last": _layer("nn.BatchNorm2D(3, data_format='NHWC')", LAST),
    "batch_norm_rows": _layer("nn.BatchNorm1D(6)", ROWS),
    "layer_norm": _layer("nn.LayerNorm(6)", SEQUENCE),
    "layer_norm_two": _layer("nn.LayerNorm([9, 12])", FIXED),
    "layer_norm_plain": _layer("nn.LayerNorm(6, weight_attr=False, bias_attr=False)", SEQUENCE),
    "instance_norm": _layer("nn.InstanceNorm2D(3)"),
    "group_norm": _layer("nn.GroupNorm(2, 4)", FIXED),
    "normalize": Case("F.normalize(x, axis=1)"),
    "norm": Case("paddle.norm(x, p=1, axis=-1)"),
    "norm_all": Case("paddle.norm(x)"),
    "norm_inf": Case("paddle.norm(x, p=float('inf'), axis=1, keepdim=True)"),
    # Activations
    **{
        name: Case(f"F.{name}(x * 4)")
        for name in [
            "relu",
            "relu6",
            "sigmoid",
            "tanh",
            "silu",
            "swish",
            "mish",
            "gelu",
            "elu",
            "celu",
            "selu",
            "softsign",
            "softplus",
            "hardswish",
            "hardsigmoid",
            "hardshrink",
            "softshrink",
            "tanhshrink",
            "leaky_relu",
            "log_sigmoid",
            "hardtanh",
            "thresholded_relu",
        ]
    },
    "gelu_tanh": Case("F.gelu(x, approximate=True)"),
    "softplus_near": Case("F.softplus(x * 4, beta=2, threshold=5)"),
    "leaky": Case("F.leaky_relu(x, 0.3)"),
    "prelu_all": _layer("nn.PReLU()"),
    "prelu_channel": _layer("nn.PReLU(3, init=0.3)"),
    "prelu_last": _layer("nn.PReLU(3, init=0.3, data_format='NHWC')", LAST),
    "softmax": Case("F.softmax(x, axis=1)"),
    "log_softmax": Case("F.log_softmax(x)"),
    "dropout": Case("self.f(x)", IMAGE, "self.f = nn.Dropout(0.3)"),
    "dropout_down": Case("self.f(x)", IMAGE, "self.f = nn.Dropout(0.3, mode='downscale_in_infer')"),
    "maxout": Case("F.maxout(x, 2)", FIXED),
    # Element by element
    **{
        name: Case(f"paddle.{name}(x)", ROWS)
        for name in [
            "abs",
            "ceil",
            "floor",
            "round",
            "sign",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "asinh",
            "atan",
            "exp",
            "erf",
            "square",
            "expm1",
            "reciprocal",
        ]
    },
    **{
        name: Case(f"paddle.{name}(paddle.abs(x) + 1.1)", ROWS)
        for name in ["log", "log2", "log10", "log1p", "sqrt", "rsqrt", "acosh"]
    },
    **{name: Case(f"paddle.{name}(x * 0.2)", ROWS) for name in ["asin", "acos", "atanh"]},
    "round_half": Case("paddle.round(paddle.floor(x * 4) / 2)", ROWS),
    "stanh": Case("paddle.stanh(x)", ROWS),
    "clip": Case("paddle.clip(x, -0.5, 0.7)"),
    "clip_whole": Case("paddle.clip(x, -1, 2) + y", WHOLE),
    "scale": Case("paddle.scale(x, 2.5, 1.5)"),
    "scale_before": Case("paddle.scale(x, 2.5, 1.5, bias_after_scale=False)"),
    "scale_whole": Case("paddle.scale(x, 2.7, 1.2) + y", WHOLE),
    "pow": Case("paddle.pow(paddle.abs(x), 1.5)"),
    "cast": Case("(x * 4).astype('int32').astype('float32') + x.astype('bool').astype('float32')"),
    "is_finite": Case(
        "(paddle.isfinite(x / F.relu(x)), paddle.isnan(x / F.relu(x)), paddle.isinf(x / F.relu(x)))"
    ),
    **{
        name: Case(f"paddle.{name}(x, y)", PAIR)
        for name in [
            "add",
            "subtract",
            "multiply",
            "divide",
            "maximum",
            "minimum",
            "remainder",
            "floor_divide",
        ]
    },
    "power": Case("paddle.pow(paddle.abs(x), y)", PAIR),
    "remainder_whole": Case("paddle.remainder(x, paddle.where(y == 0, y + 3, y))", WHOLE),
    "floor_divide_whole": Case("paddle.floor_divide(x, paddle.where(y == 0, y + 3, y))", WHOLE),
    "broadcast": Case("x + self.p", IMAGE, "self.p = self.create_parameter([3, 1, 1])"),
    "compare": Case("(x > y, x >= y, x < y, x <= y, x == y, x != y)", WHOLE),
    "logic": Case(
        "(paddle.logical_and(x > 0, y > 0), paddle.logical_or(x > 0, y > 0),"
        " paddle.logical_xor(x > 0, y > 0), paddle.logical_not(x > y))",
        PAIR,
    ),
    "bits": Case("(x & y, x | y, x ^ y, ~(x + y), (x > 0) & (y > 0))", WHOLE),
    "where": Case("paddle.where(x > y, x, y)", PAIR),
    "number_left_of_any_batch": Case("1.0 / (x + 7.0) + (2.0 - x) + 2.0**x"),
    "masked_fill": Case("paddle.masked_fill(x, x > 0, -2.0)"),
    "add_n": Case("paddle.add_n([x, y, x])", PAIR),
    # Matrices
    "linear": _layer("nn.Linear(6, 4)", SEQUENCE),
    "matmul": Case("paddle.matmul(x, y, transpose_y=True)", PAIR),
    "matmul_x": Case("paddle.matmul(x, y, transpose_x=True)", PAIR),
    "bmm": Case("paddle.bmm(x, paddle.transpose(y, [0, 2, 1]))", PAIR),
    "dot": Case("paddle.dot(x[0, 0], y[0, 1])", PAIR),
    "mv": Case("paddle.mv(x[0], y[0, 0])", PAIR),
    "addmm": Case("paddle.addmm(x[0], x[1, :, :4], y[0], 0.5, 2.0)", PAIR),
    "attention": Case(
        "self.f(x, x, x)",
        (("x", (None, None, 8), "float32"),),
        "self.f = nn.MultiHeadAttention(8, 2)",
    ),
    "transformer": _layer(
        "nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2)",
        (("x", (None, None, 8), "float32"),),
    ),
    # Reduction
    **{
        f"{name}_axes": Case(f"paddle.{name}(x, axis=[1, -1])")
        for name in ["sum", "mean", "max", "min", "prod", "logsumexp", "amax"]
    },
    **{
        f"{name}_kept": Case(f"paddle.{name}(x, axis=2, keepdim=True)")
        for name in ["sum", "mean", "max", "min", "prod", "logsumexp"]
    },
    **{f"{name}_all": Case(f"paddle.{name}(x)") for name in ["sum", "mean", "max", "min"]},
    "sum_whole": Case("paddle.sum(x, axis=1) + paddle.sum(y > 0, axis=1)", WHOLE),
    "flags": Case("(paddle.any(x > 1, axis=1), paddle.all(x > -1), paddle.all(x > -2, axis=-1))"),
    "argmax": Case("(paddle.argmax(x, 1), paddle.argmin(x, -1, keepdim=True), paddle.argmax(x))"),
    "argmax_small": Case("paddle.argmax(x, 1, dtype='int32')"),
    "topk": Case("paddle.topk(x, 2, axis=1)"),
    "topk_small": Case("paddle.topk(x, 3, largest=False)"),
    "sort": Case("(paddle.sort(x, axis=1), paddle.argsort(x, descending=True))"),
    "cumsum": Case("(paddle.cumsum(x, axis=2), paddle.cumsum(x))"),
    # Shape
    "reshape": Case("paddle.reshape(x, [0, -1, 2])", SEQUENCE),
    "reshape_computed": Case("paddle.reshape(x, [x.shape[0], x.shape[1] * 2, 3])", SEQUENCE),
    "flatten": Case("paddle.flatten(x, 1)", FIXED),
    "flatten_middle": Case("(paddle.flatten(x, 1, 2), paddle.flatten(x, 0, 1), paddle.flatten(x))"),
    "squeeze": Case("paddle.squeeze(paddle.sum(x, 1, keepdim=True), [1, 2])", FIXED),
    "squeeze_all": Case(
        "paddle.squeeze(self.p) + x", ROWS, "self.p = self.create_parameter([1, 6, 1])"
    ),
    "unsqueeze": Case("(paddle.unsqueeze(x, [0, -1]), paddle.unsqueeze(x, [-1, 1]))", ROWS),
    "transpose": Case("paddle.transpose(x, [0, 2, 3, 1])"),
    "concat": Case("paddle.concat([x, x * 2], axis=-1)"),
    "split": Case("paddle.split(x, 2, axis=1)", FIXED),
    "split_sections": Case("paddle.split(x, [1, -1, 2], axis=3)", FIXED),
    "chunk": Case("paddle.chunk(x, 3, axis=1)"),
    "stack": Case("paddle.stack([x, y], axis=-1)", PAIR),
    "unbind": Case("paddle.unbind(x, axis=1)"),
    "unstack": Case("paddle.unstack(x, axis=1)"),
    "slice": Case("(x[:, 1], x[0, :, 2:, -3:-1], x[-1], x[..., -1])"),
    "slice_steps": Case("(x[:, :, ::2], x[:, :, 6:1:-2], x[:, ::-1])"),
    "slice_computed": Case("x[:, :, x.shape[2] // 2 :]"),
    "expand": Case("(paddle.expand(x[:, :1], [-1, 5, -1, -1]), paddle.expand_as(x[:, :1], x))"),
    "expand_computed": Case(
        "paddle.expand(self.p, [x.shape[0], 6]) + x", ROWS, "self.p = self.create_parameter([1, 6])"
    ),
    "tile": Case("(paddle.tile(x, [2, 1, 3]), paddle.tile(x, [2]))"),
    "tile_computed": Case(
        "paddle.tile(x, [x.shape[0], 2]), paddle.tile(x[0, 0], x.shape[:2])", SEQUENCE
    ),
    "split_rest": Case("paddle.split(x, [1, -1], axis=1)", SEQUENCE),
    "split_computed": Case(
        "paddle.split(x, [x.shape[0], x.shape[1] - x.shape[0]], axis=1)", SEQUENCE
    ),
    "roll_computed": Case("paddle.roll(x, paddle.shape(x)[0], 2)", SEQUENCE),
    "linspace_computed": Case(
        "paddle.linspace(x.min(), x.max(), 5), paddle.linspace(0, 3, x.shape[0])", ROWS
    ),
    "pad_computed": Case("F.pad(x, paddle.shape(x).cast('int32'), value=2.0)", IMAGE),
    "one_hot_computed": Case("F.one_hot(x, x.max() + 1)", IDS),
    "flip": Case("paddle.flip(x, [1, 3])"),
    "roll": Case("(paddle.roll(x, [1, -2], [2, 3]), paddle.roll(x, 3))"),
    "triangle": Case("(paddle.tril(x), paddle.triu(x, 1))"),
    "meshgrid": Case("paddle.meshgrid(x[0], x[:, 0])", ROWS),
    # Images
    "nearest": Case("F.interpolate(x, scale_factor=2)"),
    "nearest_size": Case("F.interpolate(x, size=[7, 5])"),
    "bilinear": Case("F.interpolate(x, scale_factor=[1.5, 2], mode='bilinear')"),
    "bilinear_size": Case("F.interpolate(x, size=[7, 5], mode='bilinear')"),
    "bilinear_one": Case("F.interpolate(x, size=[1, 5], mode='bilinear')"),
    "bilinear_mode": Case("F.interpolate(x, size=[7, 5], mode='bilinear', align_mode=1)"),
    "bilinear_corners": Case("F.interpolate(x, size=[7, 15], mode='bilinear', align_corners=True)"),
    "bilinear_computed": Case(
        "F.interpolate(x[:, :, :4], size=paddle.shape(x)[2:], mode='bilinear')"
    ),
    "bilinear_last": Case(
        "F.interpolate(x, size=[7, 5], mode='bilinear', data_format='NHWC')", LAST
    ),
    "bicubic": Case("F.interpolate(x, size=[12, 15], mode='bicubic')"),
    "linear_interp": Case(
        "F.interpolate(x, size=[9], mode='linear', data_format='NCW')",
        (("x", (None, 5, None), "float32"),),
    ),
    "trilinear": Case(
        "F.interpolate(x, size=[4, 5, 6], mode='trilinear', data_format='NCDHW')", VOLUME
    ),
    "grid_sample": Case(
        "F.grid_sample(x, g, align_corners=False, padding_mode='border')",
        (*FIXED, ("g", (None, 5, 6, 2), "float32")),
    ),
    "affine_grid": Case(
        "F.grid_sample(x, F.affine_grid(t, [x.shape[0], 3, 5, 6], align_corners=False), align_corners=False)",
        (*FIXED, ("t", (None, 2, 3), "float32")),
    ),
    "pixel_shuffle": Case("F.pixel_shuffle(x, 2)", (("x", (None, 8, None, None), "float32"),)),
    "channel_shuffle": Case("F.channel_shuffle(x, 2)", FIXED),
    "pad": Case("F.pad(x, [1, 2, 3, 0], value=1.5)"),
    "pad_all": Case("F.pad(x, [0, 1, 2, 0, 1, 1, 0, 3])"),
    "pad_reflect": Case("F.pad(x, [1, 2, 1, 0], mode='reflect')"),
    "pad_edge": Case("F.pad(x, [1, 2, 1, 0], mode='replicate')"),
    "pad_circular": Case("F.pad(x, [1, 2, 1, 0], mode='circular')"),
    "pad_last": Case("F.pad(x, [1, 2, 3, 0], data_format='NHWC')", LAST),
    # Elements by their index
    "embedding": _layer("nn.Embedding(10, 4)", IDS),
    "embedding_padded": _layer("nn.Embedding(10, 4, padding_idx=2)", IDS),
    "gather": Case("(paddle.gather(x, i % 2), paddle.gather(x, i % 6, axis=1))", INDEXED),
    "gather_nd": Case("paddle.gather_nd(x, paddle.stack([i % 2, i % 6], -1))", INDEXED),
    "index_select": Case("paddle.index_select(x, i % 6, axis=1)", INDEXED),
    "take_along": Case("paddle.take_along_axis(x, paddle.argsort(x, axis=1), axis=1)", ROWS),
    "indexed": Case("x[i % 2]", INDEXED),
    "one_hot": Case("F.one_hot(i % 5, 5) + paddle.sum(x)", INDEXED),
    "nonzero": Case("paddle.nonzero(x > 0)", ROWS),
    "scatter_add": Case(
        "paddle.scatter_nd_add(x, paddle.unsqueeze(i % 2, -1), x)",
        (ROWS[0], ("i", (None,), "int64")),
    ),
    # What begins a graph
    "full": Case("paddle.full([2, 6], 1.5) [:1] + x", ROWS),
    "zeros_computed": Case("paddle.zeros([x.shape[0], 6]) + x", ROWS),
    "likes": Case(
        "(paddle.ones_like(x) + x, paddle.zeros_like(x) - x, paddle.full_like(x, 3.5) * x)"
    ),
    "arange": Case("paddle.arange(0, 6, 1, dtype='float32') + x", ROWS),
    "arange_computed": Case(
        "paddle.arange(x.shape[1], dtype='float32') + x",
        (("x", (None, None), "float32"),),
    ),
    "linspace": Case("paddle.linspace(0, 1, 6) * x", ROWS),
    "constant": Case("paddle.to_tensor([1.0, 2, 3, 4, 5, 6]) * x", ROWS),
    "numel": Case("x.numel() + paddle.shape(x)[0]", ROWS),
    **ARITHMETIC,
    **COMPLEX,
    **FUSED_NORMS,
    **INDEXING,
    **WINDOWS,
    # Detection
    **DETECTION,
    # Sequences
    "lstm": Case("self.f(x)", SEQUENCE, "self.f = nn.LSTM(6, 5)"),
    "lstm_two": Case(
        "self.f(x)", SEQUENCE, "self.f = nn.LSTM(6, 5, num_layers=2, direction='bidirect')"
    ),
    "gru": Case("self.f(x)", SEQUENCE, "self.f = nn.GRU(6, 5, direction='bidirect')"),
    "rnn": Case("self.f(x)", SEQUENCE, "self.f = nn.SimpleRNN(6, 5, num_layers=2)"),
    "lstm_lengths": Case(
        "self.f(x, sequence_length=n)",
        (("x", (None, 5, 6), "float32"), ("n", (None,), "int64")),
        "self.f = nn.LSTM(6, 5, direction='bidirect')",
    ),
}


class Raw(NamedTuple):
    """One operator of the older form, which Paddle's functions do not make any more.

    Attributes:
        type: The operator.
        inputs: Shape of each input by slot, a list of them where a slot has several; with the element type behind
            it where it is not float32. A dimension of None is of any size.
        attributes: As the older form calls them.
        outputs: Element type of each output by slot, or how many of them are float32.
    """

    type: str
    inputs: dict
    attributes: dict = {}  # noqa: RUF012
    outputs: dict = {"Out": "float32"}  # noqa: RUF012


_X = {"X": (None, 4, 5)}
_BOTH = {"X": (None, 4, 5), "Y": (None, 4, 5)}
_NORM = {"X": (None, 4, 5), "Scale": (20,), "Bias": (20,)}
_CONV = {"Input": (None, 3, None, None), "Filter": (4, 3, 3, 3)}
_IDS = (None, 3, 1, "int64")
_UNARY = [
    "abs",
    "ceil",
    "floor",
    "round",
    "sign",
    "sin",
    "cos",
    "sinh",
    "cosh",
    "exp",
    "expm1",
    "sigmoid",
    "tanh",
    "gelu",
    "softplus",
    "erf",
    "square",
    "atan",
    "asinh",
    "reciprocal",
    "logsigmoid",
    "hard_swish",
    "hard_sigmoid",
    "relu6",
    "swish",
    "silu",
    "mish",
    "softsign",
    "tanh_shrink",
    "stanh",
    "hard_shrink",
    "softshrink",
    "thresholded_relu",
    "brelu",
    "elu",
    "leaky_relu",
]


def _rnn(mode, gates, layers, both, states):
    count = 2 if both else 1
    weights = []
    for layer in range(layers):
        size = 6 if layer == 0 else 5 * count
        weights += [(5 * gates, size), (5 * gates, 5)] * count
    weights += [(5 * gates,)] * (2 * layers * count)
    return Raw(
        "rnn",
        {"Input": (5, 3, 6), "PreState": [(layers * count, 3, 5)] * states, "WeightList": weights},
        {
            "mode": mode,
            "hidden_size": 5,
            "input_size": 6,
            "num_layers": layers,
            "is_bidirec": both,
            "is_test": True,
            "dropout_prob": 0.0,
        },
        {"Out": "float32", "State": states, "Reserve": "uint8", "DropoutState": "uint8"},
    )


_KEPT = {
    "score_threshold": 0.3,
    "nms_top_k": 6,
    "keep_top_k": 8,
    "nms_threshold": 0.3,
    "normalized": True,
    "nms_eta": 1.0,
    "background_label": -1,
}
_SCORED = {"BBoxes": (None, 12, 4), "Scores": (None, 3, 12)}
RAW = {
    "raw_lrn": Raw(
        "lrn",
        {"X": (None, 5, 4, 4)},
        {"n": 3, "k": 1.5, "alpha": 0.02, "beta": 0.6},
        {"Out": "float32", "MidOut": "float32"},
    ),
    **{
        f"raw_{name}": Raw(name, _X, more, {"Out": "float32", "OutScale": "float32"})
        for name, more in {
            "fake_quantize_abs_max": {},
            "fake_quantize_dequantize_abs_max": {"bit_length": 4, "round_type": 0},
            "fake_channel_wise_quantize_dequantize_abs_max": {"quant_axis": 1},
        }.items()
    },
    **{
        f"raw_{name}_{rounds}": Raw(
            name,
            {"X": (None, 4, 5), "InScale": (1, "scale")},
            {"is_test": True, "round_type": rounds},
            {"Out": "float32", "OutScale": "float32"},
        )
        for name in (
            "fake_quantize_dequantize_moving_average_abs_max",
            "fake_quantize_moving_average_abs_max",
            "fake_quantize_range_abs_max",
        )
        for rounds in (0, 1)
    },
    "raw_fake_dequantize": Raw(
        "fake_dequantize_max_abs", {"X": (None, 4), "Scale": (1, "scale")}, {"max_range": 127.0}
    ),
    "raw_fake_dequantize_channels": Raw(
        "fake_channel_wise_dequantize_max_abs",
        {"X": (None, 4, 5), "Scales": [(4, "scale")]},
        {"quant_bits": [8], "quant_axis": 1},
    ),
    **{
        f"raw_{name}_{axis}": Raw(
            name,
            {
                "X": (None, 4, 5),
                "Scale": (4 if axis > 0 else 1, "scale"),
                "ZeroPoint": (4 if axis > 0 else 1,),
            },
            {"quant_axis": axis, "bit_length": 8, "is_test": True, "round_type": max(-axis, 0)},
            {"Y": "float32"},
        )
        for name in ("quantize_linear", "dequantize_linear")
        for axis in (-1, 1)
    },
    "raw_fill_diagonal": Raw("fill_diagonal", {"X": (None, 4)}, {"value": 2.5, "offset": 1}),
    "raw_crop": Raw(
        "crop_tensor", {"X": (None, 4, 5)}, {"offsets": [1, 0, 2], "shape": [-1, 3, 2]}
    ),
    "raw_set_value": Raw(
        "set_value",
        {"Input": (None, 4, 5), "ValueTensor": (None, 2)},
        {"axes": [1, 2], "starts": [1, 0], "ends": [2, 4], "steps": [1, 2], "decrease_axes": [1]},
    ),
    "raw_nms_classes": Raw(
        "multiclass_nms3",
        _SCORED,
        _KEPT,
        {"Out": "float32", "Index": "int32", "NmsRoisNum": "int32"},
    ),
    "raw_anchors": Raw(
        "anchor_generator",
        {"Input": (None, 3, None, None)},
        {
            "anchor_sizes": [32.0, 50.0],
            "aspect_ratios": [0.5, 1.0],
            "variances": [0.1, 0.1, 0.2, 0.2],
            "stride": [16.0, 8.0],
            "offset": 0.5,
        },
        {"Anchors": "float32", "Variances": "float32"},
    ),
    **{f"raw_{name}": Raw(name, _X) for name in _UNARY},
    "raw_log": Raw("log1p", {"X": (None, 4)}),
    "raw_elementwise_axis": Raw(
        "elementwise_add", {"X": (None, 3, 4, 5), "Y": (3, 4)}, {"axis": 1}
    ),
    "raw_elementwise_channel": Raw(
        "elementwise_mul", {"X": (None, 3, 4, 5), "Y": (3,)}, {"axis": 1}
    ),
    "raw_elementwise_last": Raw("elementwise_sub", {"X": (None, 3, 4), "Y": (4,)}, {"axis": -1}),
    **{
        f"raw_{name}": Raw(name, _BOTH)
        for name in ["elementwise_div", "elementwise_max", "elementwise_min", "elementwise_mod"]
    },
    "raw_mul": Raw("mul", {"X": (None, 4, 5), "Y": (20, 6)}, {"x_num_col_dims": 1}),
    "raw_mul_rows": Raw("mul", {"X": (None, 4, 5), "Y": (5, 6)}, {"x_num_col_dims": 2}),
    "raw_matmul": Raw("matmul", _BOTH, {"transpose_Y": True, "alpha": 0.5}),
    "raw_matmul_v2": Raw("matmul_v2", _BOTH, {"trans_x": True, "trans_y": False}),
    "raw_bmm": Raw("bmm", {"X": (None, 4, 5), "Y": (None, 5, 4)}),
    "raw_fc": Raw(
        "fc",
        {"Input": (None, 4, 5), "W": (20, 6), "Bias": (6,)},
        {"in_num_col_dims": 1, "activation_type": "relu"},
    ),
    "raw_lookup": Raw("lookup_table", {"Ids": _IDS, "W": (10, 4)}, {"padding_idx": 3}),
    "raw_lookup_v2": Raw(
        "lookup_table_v2", {"Ids": (None, 3, "int64"), "W": (10, 4)}, {"padding_idx": 3}
    ),
    "raw_layer_norm": Raw(
        "layer_norm",
        _NORM,
        {"begin_norm_axis": 1},
        {"Y": "float32", "Mean": "float32", "Variance": "float32"},
    ),
    "raw_dropout": Raw(
        "dropout",
        _X,
        {"is_test": True, "dropout_prob": 0.3, "dropout_implementation": "downgrade_in_infer"},
        {"Out": "float32", "Mask": "uint8"},
    ),
    "raw_conv_same": Raw(
        "conv2d",
        _CONV,
        {"padding_algorithm": "SAME", "strides": [2, 2], "dilations": [2, 2]},
        {"Output": "float32"},
    ),
    "raw_pool_global": Raw(
        "pool2d",
        {"X": (None, 3, None, None)},
        {"ksize": [2, 2], "global_pooling": True, "pooling_type": "avg"},
    ),
    "raw_nearest": Raw(
        "nearest_interp",
        {"X": (None, 3, 6, 8)},
        {"out_h": 9, "out_w": 13, "align_corners": True, "interp_method": "nearest"},
    ),
    "raw_bilinear": Raw(
        "bilinear_interp",
        {"X": (None, 3, 6, 8)},
        {"scale": 1.5, "align_corners": False, "align_mode": 0, "interp_method": "bilinear"},
    ),
    "raw_pad": Raw("pad", {"X": (None, 4)}, {"paddings": [0, 1, 2, 0], "pad_value": 1.5}),
    "raw_flatten2": Raw("flatten2", _X, {"axis": 2}, {"Out": "float32", "XShape": "float32"}),
    "raw_expand": Raw("expand", _X, {"expand_times": [2, 1, 3]}),
    "raw_tile": Raw("tile", _X, {"repeat_times": [2, 1, 3]}),
    "raw_top_k": Raw("top_k", {"X": (None, 6)}, {"k": 2}, {"Out": "float32", "Indices": "int64"}),
    "raw_arg_max": Raw("arg_max", _X, {"axis": 1, "dtype": 2}, {"Out": "int32"}),
    **{
        f"raw_reduce_{name}": Raw(f"reduce_{name}", _X, {"dim": [0, 2], "keep_dim": True})
        for name in ["sum", "mean", "max", "min", "prod"]
    },
    "raw_reduce_every": Raw("reduce_sum", _X, {"reduce_all": True}),
    "raw_mean": Raw("mean", _X),
    "raw_logsumexp": Raw("logsumexp", _X, {"axis": [1], "keepdim": True}),
    "raw_norm": Raw(
        "norm", _X, {"axis": 1, "epsilon": 1e-6}, {"Out": "float32", "Norm": "float32"}
    ),
    "raw_slice": Raw(
        "slice",
        {"Input": (None, 4, 5)},
        {"axes": [1, 2], "starts": [-1, 1], "ends": [4, 9], "decrease_axis": [1]},
    ),
    "raw_stack": Raw("stack", {"X": [(None, 4), (None, 4)]}, {"axis": 1}, {"Y": "float32"}),
    "raw_split": Raw("split", {"X": (None, 6)}, {"axis": 1, "sections": [1, -1, 2]}, {"Out": 3}),
    "raw_concat": Raw("concat", {"X": [(None, 4), (None, 3)]}, {"axis": -1}),
    "raw_sum": Raw("sum", {"X": [(None, 4), (None, 4), (None, 4)]}),
    "raw_clip": Raw("clip", _X, {"min": -0.5, "max": 0.5}),
    "raw_pow": Raw("pow", _X, {"factor": 3.0}),
    "raw_prelu": Raw("prelu", {"X": (None, 3, 4, 5), "Alpha": (1, 3, 1, 1)}, {"mode": "channel"}),
    "raw_shuffle_channel": Raw("shuffle_channel", {"X": (None, 6, 4, 5)}, {"group": 3}),
    "raw_fill_like": Raw("fill_any_like", _X, {"value": 2.5, "dtype": 5}),
    "raw_fill_batch": Raw(
        "fill_constant_batch_size_like",
        {"Input": (None, 4)},
        {"shape": [-1, 7], "value": 2.5, "dtype": 5},
    ),
    "raw_affine_channel": Raw(
        "affine_channel",
        {"X": (None, 3, 4, 5), "Scale": (3,), "Bias": (3,)},
        {"data_layout": "NCHW"},
    ),
    "raw_index_sample": Raw("index_sample", {"X": (None, 10), "Index": (None, 3, "int64")}),
    "raw_lstm": _rnn("LSTM", 4, 2, True, 2),
    "raw_gru": _rnn("GRU", 3, 1, True, 1),
    "raw_rnn_relu": _rnn("RNN_RELU", 1, 2, False, 1),
}

SOURCE = """
import paddle
import paddle.nn.functional as F
from paddle import nn


def written(x, place, value):
    x[place] = value
    return x


def seen(x):
    before = x * 1.0
    other = before
    before[:, 0] = 2.0
    return before + 1, other + 2


class Case(nn.Layer):
    def __init__(self):
        super().__init__()
        {made}

    def forward(self, {names}):
        return {forward}
"""


def inputs_of(inputs, run):
    """Inputs at one of two sizes."""
    random = np.random.default_rng(run)
    made = {}
    for name, shape, kind in inputs:
        sizes = [SIZES[run][axis] if size is None else size for axis, size in enumerate(shape)]
        if kind == "int64":
            low, high = (1, 6) if name == "n" else (-5, 6) if inputs is WHOLE else (0, 10)
            made[name] = random.integers(low, high, sizes)
        elif kind == "scale":
            made[name] = random.uniform(0.5, 2, sizes).astype("float32")
        elif kind == "int32":
            # How many boxes each image has.
            made[name] = np.array([[3, 4], [0, 7]][run], "int32")
        else:
            made[name] = random.normal(size=sizes).astype(kind)
        if name == "BBoxes_0":
            # Corners in their order.
            made[name][..., 2:] = made[name][..., :2] + np.abs(made[name][..., 2:]) + 0.5
        if name == "n":
            made[name] = np.minimum(made[name], 7 if kind == "int32" else 5)
    return made


# What is there for training alone.
UNREAD = {"XShape", "Mean", "Variance", "Reserve", "DropoutState", "Norm", "Mask", "MidOut"}


def save_raw(name, folder):
    """Save a program of one operator."""
    import paddle

    raw = RAW[name]
    paddle.enable_static()
    program = paddle.static.Program()
    slots, feeds = {}, []
    with paddle.static.program_guard(program, paddle.static.Program()):
        block = program.global_block()
        for slot, said in raw.inputs.items():
            slots[slot] = []
            for index, form in enumerate(said if isinstance(said, list) else [said]):
                kind = form[-1] if isinstance(form[-1], str) else "float32"
                shape = [size for size in form if not isinstance(size, str)]
                one = f"{slot}_{index}"
                real = "float32" if kind == "scale" else kind
                slots[slot].append(paddle.static.data(one, shape, real))
                feeds.append((one, tuple(shape), kind))
        outputs = {
            slot: [
                block.create_var(
                    name=f"out_{slot}_{index}", dtype=kind if isinstance(kind, str) else "float32"
                )
                for index in range(kind if isinstance(kind, int) else 1)
            ]
            for slot, kind in raw.outputs.items()
        }
        block.append_op(type=raw.type, inputs=slots, outputs=outputs, attrs=raw.attributes)
        wanted = [
            one
            for slot, many in outputs.items()
            if slot not in UNREAD and not (slot == "OutScale" and "is_test" in raw.attributes)
            for one in many
        ]
        executor = paddle.static.Executor(paddle.CPUPlace())
        given = [block.var(one) for one, *_ in feeds]
        paddle.static.save_inference_model(
            str(folder / name), given, wanted, executor, program=program
        )
    run_both(name, folder, feeds)


def save(name, folder):
    """Save a case and run it."""
    import paddle

    if name in RAW:
        save_raw(name, folder)
        return
    case = CASES[name]
    source = folder / f"case_{name}.py"
    names = ", ".join(one[0] for one in case.inputs)
    source.write_text(SOURCE.format(made=case.made, names=names, forward=case.forward))
    spec = importlib.util.spec_from_file_location(source.stem, source)
    module = importlib.util.module_from_spec(spec)
    sys.modules[source.stem] = module
    spec.loader.exec_module(module)
    paddle.seed(0)
    layer = module.Case()
    random = np.random.default_rng(7)
    for parameter in [*layer.parameters(), *layer.buffers()]:
        # Initial biases are zero, initial variances one: nothing would be seen of them.
        if parameter.dtype == paddle.float32:
            numbers = random.uniform(0.2, 0.9, parameter.shape)
            variance = "variance" in parameter.name or parameter.name.endswith(".w_2")
            signs = 1 if variance else random.choice([-1, 1], parameter.shape)
            parameter.set_value((numbers * signs).astype("float32"))
    layer.eval()
    specs = [paddle.static.InputSpec(list(s), k, name=n) for n, s, k in case.inputs]
    paddle.jit.save(layer, str(folder / name), input_spec=specs)
    run_both(name, folder, case.inputs)


def run_both(name, folder, inputs):
    """Run what was saved, at two sizes, with Paddle's own kernels."""
    from paddle import inference

    program = next(p for s in (".json", ".pdmodel") if (p := folder / f"{name}{s}").is_file())
    parameters = folder / f"{name}.pdiparams"
    config = inference.Config(str(program), str(parameters) if parameters.is_file() else "")
    config.disable_glog_info()
    config.disable_gpu()
    config.switch_ir_optim(False)
    # Its other library refuses or miscomputes some of these: layer_norm over two axes, split with -1.
    config.disable_mkldnn()
    predictor = inference.create_predictor(config)
    for run in (0, 1):
        given = inputs_of(inputs, run)
        for one in predictor.get_input_names():
            handle = predictor.get_input_handle(one)
            handle.reshape(given[one].shape)
            handle.copy_from_cpu(given[one])
        predictor.run()
        found = {
            f"out:{one}": predictor.get_output_handle(one).copy_to_cpu()
            for one in predictor.get_output_names()
        }
        given = {f"in:{one}": array for one, array in given.items()}
        np.savez(folder / f"{name}.{run}.npz", **given, **found)


def main():
    """Each case in turn; what ends the process is named by NAME.begun without NAME.1.npz."""
    folder = Path(sys.argv[1])
    for name in sys.argv[2:] or (*CASES, *RAW):
        if (folder / f"{name}.begun").exists():
            continue
        (folder / f"{name}.begun").touch()
        try:
            save(name, folder)
        except Exception as error:
            (folder / f"{name}.failed").write_text(f"{type(error).__name__}: {error}"[:2000])


if __name__ == "__main__":
    main()
