import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class UNet(nn.Module):
    def __init__(self, c=8):
        super().__init__()

        def blk(i, o):
            return nn.Sequential(
                nn.Conv2d(i, o, 3, padding=1),
                nn.BatchNorm2d(o),
                nn.ReLU(inplace=True),
                nn.Conv2d(o, o, 3, padding=1),
                nn.BatchNorm2d(o),
                nn.ReLU(inplace=True),
            )

        self.d1 = blk(3, c)
        self.d2 = blk(c, 2 * c)
        self.mid = blk(2 * c, 4 * c)
        self.pool = nn.MaxPool2d(2)
        self.u2 = nn.ConvTranspose2d(4 * c, 2 * c, 2, 2)
        self.c2 = blk(4 * c, 2 * c)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.c1 = blk(3 * c, c)
        self.out = nn.Conv2d(c, 2, 1)

    def forward(self, x):
        a = self.d1(x)
        b = self.d2(self.pool(a))
        m = self.mid(self.pool(b))
        u = self.u2(m)
        dy = b.shape[2] - u.shape[2]
        dx = b.shape[3] - u.shape[3]
        u = F.pad(u, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        u = self.c2(torch.cat([b, u], 1))
        u = self.up(u)
        dy = a.shape[2] - u.shape[2]
        dx = a.shape[3] - u.shape[3]
        u = F.pad(u, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.out(self.c1(torch.cat([a, u], 1)))


class Basic(nn.Module):
    def __init__(self, i, o, st=1):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, st, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.downsample = (
            None
            if st == 1 and i == o
            else nn.Sequential(nn.Conv2d(i, o, 1, st, bias=False), nn.BatchNorm2d(o))
        )

    def forward(self, x):
        r = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + r)


class Bottleneck(nn.Module):
    def __init__(self, i, m, o, st=1):
        super().__init__()
        self.conv1 = nn.Conv2d(i, m, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(m)
        self.conv2 = nn.Conv2d(m, m, 3, st, 1, groups=2, bias=False)
        self.bn2 = nn.BatchNorm2d(m)
        self.conv3 = nn.Conv2d(m, o, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(o)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, st, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Basic(8, 8), Basic(8, 8))
        self.layer2 = nn.Sequential(Basic(8, 16, 2), Basic(16, 16))
        self.layer3 = nn.Sequential(Bottleneck(16, 16, 32, 2))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class SE(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.avg = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(c, c // 4, 1)
        self.fc2 = nn.Conv2d(c // 4, c, 1)

    def forward(self, x):
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(self.avg(x)))))


class MobileV3(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.block = nn.Sequential(
            nn.Conv2d(8, 16, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.Hardswish(),
            nn.Conv2d(16, 16, 5, 1, 2, groups=16, bias=False),
            nn.BatchNorm2d(16),
            nn.Hardswish(),
            SE(16),
            nn.Conv2d(16, 8, 1, bias=False),
            nn.BatchNorm2d(8),
        )
        self.head = nn.Sequential(
            nn.Linear(8, 16), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(16, 5)
        )

    def forward(self, x):
        x = self.stem(x)
        x = x + self.block(x)
        return self.head(x.mean([2, 3]))


class EffNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.ZeroPad2d((0, 1, 0, 1)),
            nn.Conv2d(3, 8, 3, 2, bias=False),
            nn.BatchNorm2d(8, eps=1e-3),
            nn.SiLU(),
        )
        self.dw = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.r = nn.Conv2d(8, 2, 1)
        self.e = nn.Conv2d(2, 8, 1)
        self.cls = nn.Linear(8, 4)

    def forward(self, x):
        x = self.stem(x)
        y = F.silu(self.bn(self.dw(x)))
        g = torch.sigmoid(self.e(F.silu(self.r(F.adaptive_avg_pool2d(y, 1)))))
        return F.softmax(self.cls((x + y * g).flatten(2).mean(-1)), -1)


class BiLstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(50, 16, padding_idx=0)
        self.lstm = nn.LSTM(16, 12, 2, batch_first=True, bidirectional=True, dropout=0.1)
        self.fc = nn.Linear(24, 3)

    def forward(self, tokens):
        _y, (h, _c) = self.lstm(self.emb(tokens))
        return self.fc(torch.cat([h[-2], h[-1]], -1))


class GruTime(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 10, 1)
        self.fc = nn.Linear(10, 2)

    def forward(self, x, h0):
        y, h = self.gru(x, h0)
        return self.fc(y), h


class RnnCls(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(6, 10, 2, nonlinearity="relu", batch_first=True)
        self.fc = nn.Linear(10, 2)

    def forward(self, x):
        y, _ = self.rnn(x)
        return self.fc(y[:, -1])


class LstmProj(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 10, 1, batch_first=True, proj_size=4)

    def forward(self, x):
        y, (h, c) = self.lstm(x)
        return y, h, c


class CellLoop(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(6, 8)
        self.g = nn.GRUCell(8, 8)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], 8)
        c = x.new_zeros(x.shape[0], 8)
        g = torch.zeros_like(h)
        for t in range(4):
            h, c = self.cell(x[:, t], (h, c))
            g = self.g(h, g)
        return g


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 10, 1, batch_first=True)

    def forward(self, x, lengths):
        p = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _y, h = self.gru(p)
        return h[-1]


class TCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.utils.parametrizations.weight_norm(
                    nn.Conv1d(6 if i == 0 else 8, 8, 3, padding=2 ** (i + 1), dilation=2**i)
                )
                for i in range(3)
            ]
        )
        self.res = nn.Conv1d(6, 8, 1)
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        r = self.res(x)
        for i, c in enumerate(self.convs):
            y = c(x)[..., : -(2 ** (i + 1))]
            x = F.relu(y)
        return self.out((F.relu(x + r)).transpose(1, 2))


class Pos(nn.Module):
    def __init__(self, d, n=64):
        super().__init__()
        pe = torch.zeros(n, d)
        p = torch.arange(n).unsqueeze(1)
        div = torch.exp(torch.arange(0, d, 2) * (-math.log(1e4) / d))
        pe[:, 0::2] = torch.sin(p * div)
        pe[:, 1::2] = torch.cos(p * div)
        self.register_buffer("pe", pe.unsqueeze(0))

    def forward(self, x):
        return x + self.pe[:, : x.size(1)]


class Encoder(nn.Module):
    def __init__(self, norm_first=False, act="relu"):
        super().__init__()
        self.emb = nn.Embedding(50, 16)
        self.pos = Pos(16)
        self.enc = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                16, 4, 32, batch_first=True, norm_first=norm_first, activation=act
            ),
            2,
            enable_nested_tensor=False,
        )
        self.fc = nn.Linear(16, 3)

    def forward(self, tokens, mask=None):
        x = self.pos(self.emb(tokens) * 4)
        x = self.enc(x, src_key_padding_mask=mask)
        return self.fc(x.mean(1))


class EncoderNested(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2)
        self.fc = nn.Linear(16, 3)

    def forward(self, x):
        return self.fc(self.enc(x))


class Mha(nn.Module):
    def __init__(self):
        super().__init__()
        self.att = nn.MultiheadAttention(16, 4, kdim=12, vdim=12)

    def forward(self, q, kv):
        y, w = self.att(q, kv, kv)
        return {"y": y, "weights": w}


class Seq2Seq(nn.Module):
    def __init__(self):
        super().__init__()
        self.src = nn.Embedding(40, 16)
        self.tgt = nn.Embedding(40, 16)
        self.tr = nn.Transformer(16, 4, 1, 1, 32, batch_first=True)
        self.out = nn.Linear(16, 40)

    def forward(self, src, tgt):
        m = nn.Transformer.generate_square_subsequent_mask(tgt.size(1))
        return self.out(self.tr(self.src(src), self.tgt(tgt), tgt_mask=m, tgt_is_causal=True))


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(12, 16, 4, 1, 0, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(True),
            nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(True),
            nn.ConvTranspose2d(8, 3, 3, 2, 1, output_padding=1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z)


class SuperRes(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(1, 16, 5, padding=2)
        self.c2 = nn.Conv2d(16, 9, 3, padding=1)
        self.ps = nn.PixelShuffle(3)

    def forward(self, x):
        return torch.clamp(
            self.ps(self.c2(F.leaky_relu(self.c1(x), 0.2)))
            + F.interpolate(x, scale_factor=3, mode="bicubic", align_corners=False),
            0,
            1,
        )


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(20, 16)
        self.mu = nn.Linear(16, 4)
        self.lv = nn.Linear(16, 4)
        self.dec = nn.Sequential(nn.Linear(4, 16), nn.ELU(), nn.Linear(16, 20))

    def forward(self, x, eps):
        h = F.softplus(self.enc(x))
        mu, lv = self.mu(h), self.lv(h).clamp(-5, 5)
        z = mu + torch.exp(0.5 * lv) * eps
        return torch.sigmoid(self.dec(z)), mu, lv


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")
        self.g = nn.GroupNorm(4, 8)
        self.i = nn.InstanceNorm2d(8, affine=True)
        self.i2 = nn.InstanceNorm2d(8)
        self.l = nn.LayerNorm([8])
        self.lr = nn.LocalResponseNorm(3)
        self.rms = nn.RMSNorm(8)

    def forward(self, x):
        x = self.lr(self.i2(self.i(F.mish(self.g(self.c(x))))))
        x = self.l(x.permute(0, 2, 3, 1))
        return F.gelu(self.rms(x), approximate="tanh")


class Stn(nn.Module):
    def __init__(self):
        super().__init__()
        self.loc = nn.Sequential(
            nn.Conv2d(1, 4, 7), nn.MaxPool2d(2), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
        )
        self.fc = nn.Linear(16, 6)

    def forward(self, x):
        th = (self.fc(self.loc(x).flatten(1)) * 0.1 + torch.tensor([1.0, 0, 0, 0, 1, 0])).view(
            -1, 2, 3
        )
        g = F.affine_grid(th, x.size(), align_corners=False)
        return F.grid_sample(x, g, align_corners=False, padding_mode="border")


class Einsum(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 8, 6))
        self.b = nn.Parameter(torch.randn(4, 6))

    def forward(self, x, y):
        a = torch.einsum("bni,hid->bhnd", x, self.w) + self.b[:, None]
        b = torch.einsum("bhnd,bhmd->bhnm", a, a)
        return torch.einsum("bhnm,bm...->bhn...", b.softmax(-1), y), torch.einsum(
            "bii->bi", b.mean(1)
        )


class Fft(nn.Module):
    def forward(self, x):
        f = torch.fft.rfft(x, dim=-1, norm="ortho")
        m = f.abs()
        return m, torch.angle(f).cos() * m, torch.fft.irfft(f * 2, n=32, norm="ortho")


class Spect(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("win", torch.hann_window(32))
        self.register_buffer("mel", torch.rand(17, 8))

    def forward(self, wave):
        st = torch.stft(wave, 32, 8, 32, self.win, return_complex=True, center=True)
        p = st.abs() ** 2
        return torch.log(p.transpose(1, 2) @ self.mel + 1e-6)


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(30, 8, mode="mean")
        self.fc = nn.Linear(8, 2)

    def forward(self, ids, offsets):
        return self.fc(self.bag(ids, offsets))


class Bag2(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(30, 8, mode="sum")
        self.fc = nn.Linear(8, 2)

    def forward(self, ids):
        return self.fc(self.bag(ids))


class Nms(nn.Module):
    def forward(self, boxes, scores):
        order = scores.argsort(descending=True)[:6]
        b = boxes[order]
        x1, y1, x2, y2 = b.unbind(-1)
        area = (x2 - x1).clamp(0) * (y2 - y1).clamp(0)
        xx1 = torch.maximum(x1[:, None], x1)
        yy1 = torch.maximum(y1[:, None], y1)
        xx2 = torch.minimum(x2[:, None], x2)
        yy2 = torch.minimum(y2[:, None], y2)
        inter = (xx2 - xx1).clamp(0) * (yy2 - yy1).clamp(0)
        iou = inter / (area[:, None] + area - inter + 1e-6)
        keep = torch.ones_like(order, dtype=torch.bool)
        for i in range(6):
            sup = (iou[i] > 0.5) & keep[i]
            sup = sup & (torch.arange(6) > i)
            keep = keep & ~sup
        return order, keep, b * keep[:, None]


class Ints(nn.Module):
    def forward(self, a, b):
        return (
            a // b,
            a % b,
            torch.div(a, b, rounding_mode="trunc"),
            torch.fmod(a, b),
            a & b,
            (a << 2) >> 1,
            a**2,
            (a.float() / b).round().long(),
            torch.bitwise_xor(a, b),
            a.sum(-1),
            a.cumsum(0),
            (a > b).sum(0),
            a.max(-1)[1],
            torch.where(a > b, a, b),
        )


class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.BatchNorm2d(8)
        self.l = nn.Linear(8, 4)
        self.n = nn.LayerNorm(4)
        self.half()

    def forward(self, x):
        return self.n(self.l(F.gelu(self.b(self.c(x))).mean((2, 3))))


class Bf(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 16)
        self.n = nn.LayerNorm(16)
        self.o = nn.Linear(16, 4)
        self.bfloat16()

    def forward(self, x):
        return self.o(F.silu(self.n(self.l(x.bfloat16())))).float()


class Dbl(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 16)
        self.double()

    def forward(self, x):
        return torch.logsumexp(self.l(x.double()), 1), torch.special.erf(x).double()


class DictIn(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(4, 4)

    def forward(self, feats, scale: float = 2.0):
        return {"a": {"b": self.l(feats[0]), "c": [feats[1] * scale, feats[0].sum()]}}


class Shapes(nn.Module):
    def forward(self, x):
        b, n, c = x.shape
        y = x.reshape(b, n, 2, c // 2).permute(0, 2, 1, 3).contiguous()
        y = torch.roll(y, 1, 2)
        y = y.unfold(2, 2, 1)
        z = torch.tril(torch.ones(n, n, device=x.device))
        w = F.one_hot(torch.arange(n) % 3, 3).float()
        t = torch.topk(x, 2, dim=-1)
        st = torch.sort(x, dim=1, descending=True)
        return (
            y,
            (z @ x),
            w @ torch.ones(3, 2),
            t.values,
            t.indices,
            st.values,
            torch.flip(x, [1, 2]),
            x.repeat_interleave(2, 1),
            torch.stack(torch.chunk(x, 2, -1)).mean(0),
            x.new_full((b, 1), 3.0),
            torch.arange(n, dtype=x.dtype).expand(b, n),
            torch.meshgrid(torch.arange(n), torch.arange(c), indexing="ij")[0],
        )


class Scatter(nn.Module):
    def forward(self, x, idx):
        y = torch.zeros_like(x).scatter(1, idx, x)
        z = x.clone()
        z[:, 0] = 7
        z[:, 1:3] += 1
        m = x.masked_fill(x > 0, -1e9)
        g = torch.gather(x, 1, idx)
        ia = torch.zeros(x.shape[0], 10).scatter_add(1, idx, x)
        i = torch.index_select(x, 1, torch.tensor([2, 0]))
        z[x < -1] = 0.0
        q = x[torch.arange(x.shape[0]), idx[:, 0]]
        return (
            y,
            z,
            m,
            g,
            ia,
            i,
            q,
            torch.bucketize(x, torch.tensor([-1.0, 0.0, 1.0])),
            torch.searchsorted(torch.tensor([-1.0, 0.0, 1.0]), x),
        )


class Pools(nn.Module):
    def forward(self, x):
        return (
            F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
            F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
            F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
            F.adaptive_avg_pool2d(x, (3, 5)),
            F.adaptive_max_pool2d(x, 1),
            F.lp_pool2d(x.abs(), 2, 2),
            F.max_pool2d(x, 2, return_indices=True)[1],
            F.avg_pool2d(x, 2, divisor_override=3),
        )


class Resize(nn.Module):
    def forward(self, x):
        h, w = x.shape[-2:]
        return (
            F.interpolate(x, size=(7, 9)),
            F.interpolate(x, scale_factor=1.5, mode="bilinear"),
            F.interpolate(x, size=(h * 2, w // 2), mode="bilinear", align_corners=True),
            F.interpolate(x, size=(5, 5), mode="area"),
            F.interpolate(x, size=(11, 6), mode="bilinear", antialias=True),
            F.interpolate(x, scale_factor=2, mode="nearest-exact"),
            F.pad(x, (1, 2, 2, 1), mode="replicate"),
            F.pad(x, (1, 1, 1, 1), mode="circular"),
            F.pixel_unshuffle(x[..., :4, :4], 2),
            F.fold(F.unfold(x[..., :6, :6], 3), (6, 6), 3),
        )


class Acts(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.PReLU()
        self.r = nn.RReLU()
        self.g = nn.GLU()

    def forward(self, x):
        return (
            self.p(x),
            self.r(x),
            self.g(x),
            F.selu(x),
            F.celu(x, 0.7),
            F.hardtanh(x, -2, 2),
            F.hardshrink(x),
            F.softshrink(x),
            F.tanhshrink(x),
            F.logsigmoid(x),
            F.softsign(x),
            F.relu6(x),
            F.threshold(x, 0.1, 20.0),
            F.softmin(x, -1),
            F.normalize(x, dim=-1),
            F.cosine_similarity(x, x.flip(-1), dim=-1),
            torch.cdist(x, x + 1),
            torch.atan2(x, x.flip(-1)),
            torch.log1p(x.abs()),
            torch.expm1(x),
            torch.erfinv(x.tanh() * 0.9),
            torch.sinc(x),
            torch.frac(x),
            torch.trunc(x),
            x.std(-1),
            x.var(0, unbiased=False),
            torch.median(x, -1)[0],
            torch.quantile(x, 0.3, dim=-1),
            x.norm(p=1, dim=-1),
            torch.linalg.norm(x, dim=-1),
            x.prod(-1),
            x.amax((0, 1)),
            x.argmin(-1),
            torch.lerp(x, x * 2, 0.3),
            torch.logaddexp(x, x * 2),
            torch.nan_to_num(x),
            torch.isnan(x),
            x.sign(),
            torch.heaviside(x, torch.tensor(0.5)),
            torch.copysign(x, x.flip(0)),
            torch.hypot(x, x),
            torch.xlogy(x.abs(), x.abs()),
            torch.diff(x, dim=-1),
            torch.cumprod(x, -1),
            torch.cummax(x, -1)[0],
            torch.logcumsumexp(x, -1),
            torch.kron(x[0, :2, :2], x[0, :2, :2]),
            torch.cross(x[..., :3], x[..., 1:4], dim=-1),
            torch.outer(x[0, 0], x[0, 1]),
            torch.trace(x[0]),
            torch.diagonal(x, 0, 1, 2),
            torch.diag_embed(x[0]),
            torch.baddbmm(x @ x.mT, x, x.mT),
            torch.tensordot(x, x, ([2], [2])),
            x.any(-1),
            x.all(-1),
            torch.rot90(x, 1, [1, 2]),
            torch.count_nonzero(x, -1),
            torch.histc(x, 5, -2, 2),
        )


class Control(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)

    def forward(self, x, n: int):
        if bool(x.sum() > 0):
            y = self.a(x)
        else:
            y = self.b(x)
        i = 0
        while i < n:
            y = torch.tanh(y) + x
            i += 1
        for k in range(x.size(0)):
            y = y + k
        return y


class LoopData(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 6)

    def forward(self, x):
        h = torch.zeros(x.size(0), 6)
        outs: list[torch.Tensor] = []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            outs.append(h)
        return torch.stack(outs, 1)


class DwSep(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            *[
                nn.Sequential(
                    nn.Conv2d(4, 4, 3, 1, 1, groups=4),
                    nn.Conv2d(4, 4, 1),
                    nn.BatchNorm2d(4),
                    nn.ReLU6(),
                )
                for _ in range(3)
            ]
        )

    def forward(self, x):
        return self.net(x)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(20, 8)
        self.blk = nn.Linear(8, 8)
        self.out = nn.Linear(8, 20, bias=False)
        self.out.weight = self.emb.weight

    def forward(self, ids):
        x = self.emb(ids)
        for _ in range(3):
            x = F.relu(self.blk(x)) + x
        return self.out(x)


class Conv3(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv3d(2, 4, 3, padding=1)
        self.b = nn.BatchNorm3d(4)
        self.t = nn.ConvTranspose3d(4, 2, 2, 2)
        self.c1 = nn.ConvTranspose1d(4, 3, 4, 2, 1)

    def forward(self, x):
        y = self.t(F.max_pool3d(F.relu(self.b(self.c(x))), 2))
        return y, F.interpolate(y, scale_factor=2, mode="trilinear"), self.c1(self.c(x).flatten(2))


class Sdpa(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.o = nn.Linear(16, 16)

    def forward(self, x):
        q, k, v = self.qkv(x).view(x.size(0), x.size(1), 3, 4, 4).permute(2, 0, 3, 1, 4)
        return self.o(
            F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        )


class Gqa(nn.Module):
    def forward(self, q, k, v, mask):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True, scale=0.3)


class Yolo(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 21, 3, 2, 1)
        self.register_buffer(
            "anchors", torch.tensor([[10.0, 13], [16, 30], [33, 23]]).view(1, 3, 1, 1, 2)
        )

    def forward(self, x):
        y = self.c(x)
        b, _, h, w = y.shape
        y = y.view(b, 3, 7, h, w).permute(0, 1, 3, 4, 2).sigmoid()
        gy, gx = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        grid = torch.stack((gx, gy), -1).view(1, 1, h, w, 2).float()
        xy = (y[..., :2] * 2 - 0.5 + grid) * 8
        wh = (y[..., 2:4] * 2) ** 2 * self.anchors
        return torch.cat((xy, wh, y[..., 4:]), -1).view(b, -1, 7)


class Complex(nn.Module):
    def forward(self, x):
        c = torch.view_as_complex(x)
        y = c * torch.exp(1j * c.real)
        return torch.view_as_real(y), y.abs()


class Rotary(nn.Module):
    def forward(self, x):
        n = x.size(-2)
        f = 1 / 10000 ** (torch.arange(0, 8, 2).float() / 8)
        a = torch.outer(torch.arange(n).float(), f)
        c = torch.polar(torch.ones_like(a), a)
        xc = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(xc * c).flatten(-2)


class Moe(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(8, 4)
        self.w = nn.Parameter(torch.randn(4, 8, 8) * 0.3)

    def forward(self, x):
        v, i = torch.topk(self.gate(x).softmax(-1), 2)
        y = torch.einsum("bd,edf->bef", x, self.w)
        return (torch.gather(y, 1, i[..., None].expand(-1, -1, 8)) * v[..., None]).sum(1)


class Gat(nn.Module):
    """Two heads of attention over the edges of a graph, the softmax per node."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(6, 8, bias=False)
        self.src = nn.Parameter(torch.randn(2, 4))
        self.dst = nn.Parameter(torch.randn(2, 4))
        self.out = nn.Linear(8, 3)

    def forward(self, x, edges):
        h = self.lin(x).view(-1, 2, 4)
        a, b = edges[0], edges[1]
        e = F.leaky_relu((h * self.src).sum(-1)[a] + (h * self.dst).sum(-1)[b], 0.2)
        most = torch.full((x.size(0), 2), -1e9).scatter_reduce(
            0, b[:, None].expand(-1, 2), e, reduce="amax"
        )
        e = (e - most[b]).exp()
        total = torch.zeros(x.size(0), 2).index_add(0, b, e)
        alpha = e / (total[b] + 1e-9)
        y = torch.zeros_like(h).index_add(0, b, h[a] * alpha[..., None])
        return self.out(F.elu(y.flatten(1))), alpha


class Diffusion(nn.Module):
    """A block of a denoising network: the step as waves, group norms, attention over pixels."""

    def __init__(self):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, 16), nn.SiLU(), nn.Linear(16, 16))
        self.inp = nn.Conv2d(3, 8, 3, padding=1)
        self.n1, self.c1 = nn.GroupNorm(4, 8), nn.Conv2d(8, 8, 3, padding=1)
        self.emb = nn.Linear(16, 16)
        self.n2, self.c2 = nn.GroupNorm(4, 8), nn.Conv2d(8, 8, 3, padding=1)
        self.n3, self.qkv, self.proj = nn.GroupNorm(2, 8), nn.Conv2d(8, 24, 1), nn.Conv2d(8, 8, 1)
        self.down, self.up = nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.out = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, x, t):
        f = torch.exp(-math.log(1e4) * torch.arange(8, dtype=torch.float32) / 8)
        a = t.float()[:, None] * f[None]
        t = self.time(torch.cat([a.cos(), a.sin()], -1))
        x = self.inp(x)
        scale, shift = self.emb(F.silu(t))[:, :, None, None].chunk(2, 1)
        h = self.c1(F.silu(self.n1(x)))
        h = x + self.c2(F.silu(self.n2(h) * (1 + scale) + shift))
        d = self.down(h)
        b, c, hh, ww = d.shape
        q, k, v = self.qkv(self.n3(d)).reshape(b, 3, 2, c // 2, hh * ww).unbind(1)
        w = torch.einsum("bhci,bhcj->bhij", q, k).mul((c // 2) ** -0.5).softmax(-1)
        d = d + self.proj(torch.einsum("bhij,bhcj->bhci", w, v).reshape(b, c, hh, ww))
        u = self.up(F.interpolate(d, scale_factor=2.0, mode="nearest"))
        return self.out(torch.cat([u, h], 1))


class SelectiveScan(nn.Module):
    """A state space whose step depends on the input, one time after the other."""

    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(6, 16)
        self.conv = nn.Conv1d(8, 8, 4, padding=3, groups=8)
        self.x = nn.Linear(8, 2 + 8, bias=False)
        self.dt = nn.Linear(2, 8)
        self.a_log = nn.Parameter(torch.log(torch.arange(1.0, 5.0).repeat(8, 1)))
        self.d = nn.Parameter(torch.ones(8))
        self.out = nn.Linear(8, 6)

    def forward(self, x):
        u, z = self.inp(x).chunk(2, -1)
        u = F.silu(self.conv(u.transpose(1, 2))[..., : x.size(1)]).transpose(1, 2)
        dt, b, c = self.x(u).split([2, 4, 4], -1)
        dt = F.softplus(self.dt(dt))
        a = -self.a_log.exp()
        state = u.new_zeros(x.size(0), 8, 4)
        ys = []
        for t in range(x.size(1)):
            state = (
                state * (dt[:, t, :, None] * a).exp()
                + (dt[:, t] * u[:, t])[..., None] * b[:, t, None]
            )
            ys.append((state * c[:, t, None]).sum(-1))
        y = torch.stack(ys, 1) + u * self.d
        return self.out(y * F.silu(z)), state


class CacheDecoder(nn.Module):
    """One step of a decoder: keys and values of before come in and go out longer."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(50, 32)
        self.norm = nn.RMSNorm(32)
        self.q, self.kv = nn.Linear(32, 32, bias=False), nn.Linear(32, 32, bias=False)
        self.o = nn.Linear(32, 32, bias=False)
        self.register_buffer("freq", 1e4 ** -(torch.arange(0, 8, 2) / 8), persistent=False)

    def turn(self, x, places):
        a = places[:, None].float() * self.freq
        a = torch.cat([a, a], -1)
        p, q = x.chunk(2, -1)
        return x * a.cos() + torch.cat([-q, p], -1) * a.sin()

    def forward(self, tokens, past_k, past_v):
        b, n = tokens.shape
        before = past_k.size(2)
        places = torch.arange(before, before + n)
        x = self.emb(tokens)
        h = self.norm(x)
        q = self.turn(self.q(h).view(b, n, 4, 8).transpose(1, 2), places)
        k, v = self.kv(h).view(b, n, 2, 2, 8).permute(2, 0, 3, 1, 4)
        k = torch.cat([past_k, self.turn(k, places)], 2)
        v = torch.cat([past_v, v], 2)
        mask = torch.arange(before + n)[None] <= places[:, None]
        y = F.scaled_dot_product_attention(
            q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), attn_mask=mask
        )
        x = x + self.o(y.transpose(1, 2).reshape(b, n, 32))
        return {"logits": x @ self.emb.weight.T, "cache": [k, v], "loss": None}


class Vocoder(nn.Module):
    """Frames to sound: transposed convolutions with normed weights, dilated residuals of several widths."""

    def __init__(self):
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.pre = norm(nn.Conv1d(10, 16, 7, padding=3))
        self.ups = nn.ModuleList(
            [
                norm(nn.ConvTranspose1d(16, 8, 8, 4, padding=2)),
                norm(nn.ConvTranspose1d(8, 4, 4, 2, padding=1, output_padding=0)),
            ]
        )
        self.res = nn.ModuleList(
            [
                nn.ModuleList(
                    [
                        nn.utils.weight_norm(
                            nn.Conv1d(c, c, k, dilation=d, padding=d * (k - 1) // 2)
                        )
                        for d in (1, 3)
                    ]
                )
                for c in (8, 4)
                for k in (3, 5)
            ]
        )
        self.post = norm(nn.Conv1d(4, 1, 7, padding=3))

    def forward(self, x):
        x = self.pre(x)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, 0.1))
            total = 0
            for block in self.res[2 * i : 2 * i + 2]:
                y = x
                for conv in block:
                    y = y + conv(F.leaky_relu(y, 0.1))
                total = total + y
            x = total / 2
        return torch.tanh(self.post(F.leaky_relu(x)))


class Symmetric(nn.Module):
    def forward(self, w):
        return w.triu() + w.triu(1).mT


class Parametrised(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 8)
        nn.utils.parametrize.register_parametrization(self.a, "weight", Symmetric())
        self.b = nn.utils.parametrizations.orthogonal(nn.Linear(8, 8))
        self.c = nn.utils.parametrizations.spectral_norm(nn.Conv1d(8, 6, 3))
        self.d = nn.utils.spectral_norm(nn.Linear(6, 4))
        self.lazy = nn.LazyLinear(3)
        self.lazy(torch.zeros(1, 4))

    def forward(self, x):
        x = self.b(torch.tanh(self.a(x)))
        return self.lazy(self.d(self.c(x.mT).mT))


class SparseMoe(nn.Module):
    """Each token goes to its two best experts only, as Mixtral was written first."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(8, 4, bias=False)
        self.experts = nn.ModuleList(
            [nn.Sequential(nn.Linear(8, 12), nn.SiLU(), nn.Linear(12, 8)) for _ in range(4)]
        )

    def forward(self, x):
        flat = x.view(-1, 8)
        w, chosen = torch.topk(self.gate(flat).softmax(-1), 2)
        w = w / w.sum(-1, keepdim=True)
        y = torch.zeros_like(flat)
        hit = F.one_hot(chosen, 4).permute(2, 1, 0)
        for k, expert in enumerate(self.experts):
            rank, row = torch.where(hit[k] > 0)
            y.index_add_(0, row, expert(flat[row]) * w[row, rank, None])
        return y.view_as(x)


class Denoise(nn.Module):
    """Sound to a complex spectrum, a mask on it, and back."""

    def __init__(self):
        super().__init__()
        self.register_buffer("win", torch.hann_window(32))
        self.mask = nn.GRU(17, 17, batch_first=True)

    def forward(self, wave):
        s = torch.stft(wave, 32, 8, window=self.win, return_complex=True)
        m, _ = self.mask(s.abs().clamp_min(1e-4).log().mT)
        s = s * m.mT.sigmoid()
        loud = torch.view_as_real(s).pow(2).sum(-1).sqrt()
        return torch.istft(s, 32, 8, window=self.win, length=800), loud, torch.angle(s).cos()


class PackedBi(nn.Module):
    """Two directions over sequences of different lengths, outputs padded again."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 10, 2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(20, 4)

    def forward(self, x, lengths):
        p = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, h = self.gru(p)
        y, n = nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=x.size(1))
        mask = torch.arange(x.size(1))[None] < n[:, None]
        y = (self.fc(y) * mask[..., None]).sum(1) / n[:, None]
        return y, h[-2:].transpose(0, 1).flatten(1)


class Deformed(nn.Module):
    """Looks where learnt offsets say: the grid of pixels, moved, sampled several times."""

    def __init__(self):
        super().__init__()
        self.feat, self.off = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.weigh, self.out = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        f = self.feat(x)
        b, _, h, w = f.shape
        ys, xs = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        grid = torch.stack([xs, ys], -1)[None, None]
        off = self.off(f).view(b, 4, 2, h, w).permute(0, 1, 3, 4, 2)
        off = 2 * off / torch.tensor([w, h], dtype=f.dtype)
        points = (grid + off).flatten(1, 2)
        s = F.grid_sample(f, points, align_corners=True, padding_mode="zeros").view(b, 8, 4, h, w)
        s = (s * self.weigh(f).softmax(1)[:, None]).sum(2)
        near = F.grid_sample(f, points[:, :h], mode="nearest", align_corners=False)
        return self.out(s), near


class Nested(nn.Module):
    """Outputs within outputs, some of them none, one of them an input, one the same as another."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])

    def forward(self, x, mask=None, *, scale: float = 0.5):
        states = [x]
        for layer in self.layers:
            states.append(torch.relu(layer(states[-1])))
        return {
            "last": states[-1],
            "hidden": tuple(states),
            "attention": None,
            "more": {"mean": states[-1].mean(), "pairs": [(s * scale, None) for s in states[:2]]},
            "size": x.shape[0],
        }
