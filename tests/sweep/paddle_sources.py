"""PaddlePaddle sources of the sweep, in its process: python paddle_sources.py FOLDER NAME ...

Architectures of `paddle.vision` and layers as people write them, saved by `paddle.jit.save` with every size that
may vary open. Written as in `torch_sources.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import paddle
from cases import HELD_OUT, Case, main, write
from paddle import nn
from paddle.nn import functional as F  # noqa: N812
from paddle.vision import models


class Tagger(nn.Layer):
    """Two directions, two layers, a mask from padding."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 12, padding_idx=0)
        self.encoder = nn.LSTM(12, 10, num_layers=2, direction="bidirect")
        self.head = nn.Linear(20, 5)

    def forward(self, tokens: Any) -> Any:
        mask = (tokens != 0).astype("float32").unsqueeze(-1)
        return F.log_softmax(self.head(self.encoder(self.words(tokens))[0]) * mask, axis=-1)


class Recurrent(nn.Layer):
    """The other recurrent kinds, time first, with a first state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, time_major=True)
        self.plain = nn.SimpleRNN(8, 4, activation="relu", time_major=True)

    def forward(self, x: Any, h0: Any) -> tuple[Any, Any]:
        found, last = self.gru(x, h0)
        return self.plain(found)[0], last


class Bert(nn.Layer):
    """Positions by the length, an additive mask, the encoder of the framework."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(60, 16)
        self.places = nn.Embedding(64, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(16))

    def forward(self, tokens: Any) -> tuple[Any, Any]:
        places = paddle.arange(tokens.shape[1], dtype="int64")
        mask = (tokens == 0).astype("float32").unsqueeze([1, 2]) * -1e4
        found = self.encoder(self.words(tokens) + self.places(places), mask)
        return found, F.normalize(found.mean(axis=1), axis=-1)


class Translator(nn.Layer):
    """Encoder and decoder, a causal mask of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(40, 16)
        self.model = nn.Transformer(16, 2, 1, 1, 32)
        self.head = nn.Linear(16, 40)

    def forward(self, source: Any, target: Any) -> Any:
        length = target.shape[1]
        mask = paddle.triu(paddle.full([length, length], -1e9), 1)
        found = self.model(self.words(source), self.words(target), None, mask, None)
        return self.head(found)


class Crnn(nn.Layer):
    """Text recognition as PaddleOCR has it: convolutions, columns as steps, two directions."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2D(3, 8, 3, 2, 1), nn.BatchNorm2D(8), nn.Hardswish(),
            nn.Conv2D(8, 16, 3, (2, 1), 1, groups=8), nn.BatchNorm2D(16), nn.ReLU6(),
            nn.MaxPool2D(2, 2, ceil_mode=True),
        )  # fmt: skip
        self.encoder = nn.LSTM(16, 12, direction="bidirect")
        self.head = nn.Linear(24, 11)

    def forward(self, x: Any) -> Any:
        found = self.body(x).mean(axis=2).transpose([0, 2, 1])
        return F.softmax(self.head(self.encoder(found)[0]), axis=2)


class Unet(nn.Layer):
    """Down, up to the size of what it is joined with, a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2D(3, 8, 3, 2, 1), nn.InstanceNorm2D(8), nn.LeakyReLU(0.1))
        self.deep = nn.Sequential(nn.Conv2D(8, 16, 3, 2, 1), nn.GroupNorm(4, 16), nn.Swish())
        self.up = nn.Conv2DTranspose(16, 8, 2, 2)
        self.last = nn.Conv2D(16, 4, 1)

    def forward(self, x: Any) -> Any:
        first = self.down(x)
        found = F.interpolate(self.up(self.deep(first)), first.shape[2:], mode="bilinear")
        found = self.last(paddle.concat([found, first], axis=1))
        return F.interpolate(found, scale_factor=2, mode="nearest").argmax(axis=1)


class Detector(nn.Layer):
    """A head over a pyramid: anchors from the size of the image, boxes, the best of each class."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2D(3, 8, 3, 8, 1)
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.gate = nn.Conv2D(8, 8, 1)
        self.boxes, self.scores = nn.Conv2D(8, 4, 1), nn.Conv2D(8, 6, 1)

    def forward(self, x: Any) -> tuple[Any, Any, Any]:
        found = F.relu(self.body(x))
        found = found * F.hardsigmoid(self.gate(self.pool(found)))
        high, wide = found.shape[2:]
        ys, xs = paddle.meshgrid(paddle.arange(high), paddle.arange(wide))
        centres = paddle.stack([xs, ys], -1).reshape([1, -1, 2]).astype("float32") * 8.0
        boxes = self.boxes(found).flatten(2).transpose([0, 2, 1])
        corners = paddle.concat(
            [centres - boxes[..., :2].exp(), centres + boxes[..., 2:].exp()], -1
        )
        scores, places = F.sigmoid(self.scores(found)).flatten(2).topk(5, axis=-1)
        return corners.clip(0.0, 1000.0), scores, places


class Odd(nn.Layer):
    """Slices, gathers, comparisons, sums along axes."""

    def forward(self, x: Any, index: Any) -> tuple[Any, ...]:
        rows = paddle.gather(x, index, axis=1)
        where = paddle.where(x > 0.0, x, -0.1 * x)
        windows = F.unfold(x.unsqueeze(1), [2, 3], strides=1, paddings=1)
        tiles = paddle.tile(x.mean(axis=-1, keepdim=True), [1, 1, 3])
        return (
            rows[:, ::2],
            where.cumsum(axis=1),
            windows,
            tiles.expand_as(x[:, :, :3]),
            x.std(axis=-1),
        )


class Decoder(nn.Layer):
    """A decoder as large language models have them: fused norms, turned heads, fewer keys than queries, gates."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.norm1, self.norm2 = self.weight(), self.weight()
        self.q, self.kv = nn.Linear(16, 16, bias_attr=False), nn.Linear(16, 16, bias_attr=False)
        self.out, self.down = nn.Linear(16, 16), nn.Linear(24, 16)
        self.up = nn.Linear(16, 48)

    def weight(self) -> Any:
        return self.create_parameter([16], default_initializer=nn.initializer.Uniform(0.5, 1.5))

    def turned(self, x: Any) -> Any:
        """[B, L, heads, 8], each pair turned by its place, as complex numbers."""
        places = paddle.arange(x.shape[1], dtype="float32")
        angles = paddle.outer(places, 100.0 ** -(paddle.arange(4, dtype="float32") / 4))
        turns = paddle.complex(angles.cos(), angles.sin()).unsqueeze(1)
        pairs = paddle.as_complex(x.reshape([0, 0, 0, 4, 2])) * turns
        return paddle.as_real(pairs).flatten(3)

    def forward(self, tokens: Any) -> Any:
        x = self.words(tokens)
        found = paddle.incubate.nn.functional.fused_rms_norm(x, self.norm1, None, 1e-6, 2)[0]
        q = self.turned(self.q(found).reshape([0, 0, 2, 8]))
        k, v = self.kv(found).reshape([0, 0, 2, 8]).chunk(2, axis=2)
        k, v = (one.expand([-1, -1, 2, -1]) for one in (self.turned(k), v))
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(found.flatten(2))
        found, x = paddle.incubate.nn.functional.fused_rms_norm(
            x, self.norm2, None, 1e-6, 2, residual=self.words(tokens)
        )[:2]
        return x + self.down(F.swiglu(self.up(found)))


class Spectra(nn.Layer):
    """Sound and mixing in the frequency domain, back again."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = self.create_parameter([1, 17, 1])

    def forward(self, x: Any, wave: Any) -> tuple[Any, Any, Any]:
        mixed = paddle.fft.fft2(x).real() / 6
        spectrum = paddle.signal.stft(wave, 32, 8)
        loud = paddle.log(spectrum.abs() + 1e-3)
        sound = paddle.signal.istft(spectrum * self.gain.abs(), 32, 8)
        return mixed, loud, sound


class Regions(nn.Layer):
    """Boxes on a map, pooled in two ways; where the largest numbers were, and back to there."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2D(3, 8, 3, 4, 1)
        self.head = nn.Linear(8 * 9, 5)

    def forward(self, x: Any, boxes: Any) -> tuple[Any, Any, Any]:
        found = self.body(x)
        corner = boxes[:, :2].abs() * 10
        boxes = paddle.concat([corner, corner + 8 + boxes[:, 2:].abs() * 20], 1)
        count = paddle.zeros([x.shape[0] - 1], "int32")
        count = paddle.concat([paddle.full([1], 6, "int32"), count])
        largest = paddle.vision.ops.roi_pool(found, boxes, count, 3, 0.25)
        mean = paddle.vision.ops.roi_align(found, boxes, count, 3, 0.25)
        pooled, places = F.max_pool2d(found, 2, return_mask=True)
        return self.head(largest.flatten(1)), mean, F.max_unpool2d(pooled, places, 2)


class Statistics(nn.Layer):
    """Numbers in order, some of them missing."""

    def forward(self, x: Any) -> tuple[Any, ...]:
        holes = x / F.relu(x + 1.0) * F.relu(x + 1.0)
        # Of more than 16 numbers it is open which of the equal ones Paddle says: it sorts them as it likes.
        often, _ = paddle.mode(paddle.round(x), axis=1)
        return (
            paddle.nanmedian(holes, axis=1),
            paddle.nanmean(holes, axis=-1),
            paddle.median(x, axis=1),
            often,
            paddle.kthvalue(x, 2, axis=-1)[0],
            paddle.quantile(x, 0.3, axis=1),
            paddle.copysign(x, x.flip([1])),
        )


IMAGE = {"x": ("B", 3, "H", "W")}


def _seen(make: Callable[..., nn.Layer], size: int | None = None, **arguments: Any) -> Case:
    """An architecture of `paddle.vision`, for images of any size or of one."""
    shape: Sequence[int | str] = ("B", 3, "H", "W") if size is None else ("B", 3, size, size)
    return Case(lambda: make(num_classes=7, **arguments), {"x": shape})


CASES: Mapping[str, Case] = {
    "paddle-alexnet": _seen(models.alexnet, 224),
    "paddle-densenet121": _seen(models.densenet121),
    "paddle-googlenet": _seen(models.googlenet, 224),
    "paddle-inception_v3": _seen(models.inception_v3, 299),
    "paddle-lenet": Case(lambda: models.LeNet(), {"x": ("B", 1, 28, 28)}),
    "paddle-mobilenet_v1": _seen(models.mobilenet_v1, scale=0.25),
    "paddle-mobilenet_v2": _seen(models.mobilenet_v2, scale=0.5),
    "paddle-mobilenet_v3": _seen(models.mobilenet_v3_small),
    "paddle-resnet18": _seen(models.resnet18),
    "paddle-resnext50": _seen(models.resnext50_32x4d),
    "paddle-squeezenet": _seen(models.squeezenet1_1, 224),
    "paddle-vgg11": _seen(models.vgg11, 64),
    "paddle-tagger": Case(Tagger, {"tokens": ("B", "L")}, {"tokens": 50}),
    "paddle-recurrent": Case(Recurrent, {"x": ("L", "B", 6), "h0": (1, "B", 8)}),
    "paddle-bert": Case(Bert, {"tokens": ("B", "L")}, {"tokens": 60}),
    "paddle-translator": Case(
        Translator, {"source": ("B", "L"), "target": ("B", "M")}, {"source": 40, "target": 40}
    ),
    "paddle-crnn": Case(Crnn, {"x": ("B", 3, 32, "W")}),
    "paddle-unet": Case(Unet, IMAGE),
    "paddle-detector": Case(Detector, IMAGE),
    "paddle-decoder": Case(Decoder, {"tokens": ("B", "L")}, {"tokens": 50}),
    "paddle-spectra": Case(Spectra, {"x": ("B", "L", 6), "wave": ("B", 200)}),
    "paddle-regions": Case(Regions, {"x": ("B", 3, 64, 96), "boxes": (6, 4)}),
    "paddle-statistics": Case(Statistics, {"x": ("B", "L", 6)}),
    "paddle-odd": Case(Odd, {"x": ("B", "L", 6), "index": (4,)}, {"index": 7}),
}


def shaken(layer: nn.Layer) -> nn.Layer:
    """Fresh statistics of 0 and 1 would hide what forgets them."""
    for name, buffer in layer.named_buffers():
        if name.endswith("_mean"):
            buffer.set_value(buffer + 0.2 * paddle.randn(buffer.shape))
        if name.endswith("_variance"):
            buffer.set_value(buffer * (1 + paddle.rand(buffer.shape)))
    layer.eval()
    return layer


def make_case(case: Case, folder: Path) -> str:
    """Write a case."""
    paddle.seed(1)
    layer = shaken(case.make())
    for index in HELD_OUT:
        inputs = case.drawn(index, "int64")
        write(folder, index, inputs, layer(*map(paddle.to_tensor, inputs.values())))
    specs = [
        paddle.static.InputSpec(shape, "int64" if name in case.below else "float32", name)
        for name, shape in case.open_shapes().items()
    ]
    paddle.jit.save(layer, str(folder / "net"), input_spec=specs)
    return "net.json"


if __name__ == "__main__":
    paddle.set_device("cpu")
    with paddle.no_grad():
        main(CASES, make_case)
