"""A PyTorch twin of the U-Net (core/src/network/unet): the same parameter names and layouts as in our
checkpoints, so that any of them loads with `twin.load(path)`.

    net, card = twin.load("model.safetensors")
    output = net(x, c_noise)  # [batch, bands, height, width]
"""

import json
import math

import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

CARD_KEY = "unclouded.model_card"
NORM_EPS = 1e-5
# The optional fields of a UNetConfig and what leaving them out means.
DEFAULTS = {
    "conditioning_bands": 0,
    "attention_levels": [],
    "heads": 1,
    "middle_attention": False,
    "stem": 1,
    "classes": None,
    "learned_variance": False,
    "spread": False,
}


def norm_groups(channels):
    """At most 32 groups, of at least 4 channels where there are as many."""
    most = min(32, max(channels // 4, 1))
    return next(g for g in range(most, 0, -1) if channels % g == 0)


class GroupNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.groups = norm_groups(channels)
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return F.group_norm(x, self.groups, self.gamma, self.beta, NORM_EPS)


class Linear(nn.Module):
    """The weight is [inputs, outputs], the transpose of PyTorch's."""

    def __init__(self, inputs, outputs):
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def forward(self, x):
        return x @ self.weight + self.bias


def conv(inputs, outputs, k=3, stride=1):
    return nn.Conv2d(inputs, outputs, k, stride, padding=k // 2)


def zeroed(layer):
    """Training starts from zero output here."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class NoiseEmbedding(nn.Module):
    def __init__(self, features, dim, classes):
        super().__init__()
        half = features // 2
        steps = torch.arange(half, dtype=torch.float64) / half
        frequencies = (-math.log(10000) * steps).exp().float()
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.fc1 = Linear(2 * half, dim)
        self.fc2 = Linear(dim, dim)
        if classes is not None:
            setattr(self, "class", nn.Embedding(classes, dim))

    def forward(self, c_noise, label=None):
        angle = c_noise[:, None] * self.frequencies
        features = torch.cat([angle.cos(), angle.sin()], 1)
        embedding = self.fc2(F.silu(self.fc1(features)))
        if label is not None:
            embedding = embedding + getattr(self, "class")(label)
        return F.silu(embedding)


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs, emb_dim):
        super().__init__()
        self.norm1 = GroupNorm(inputs)
        self.conv1 = conv(inputs, outputs)
        self.emb_proj = zeroed(Linear(emb_dim, 2 * outputs))
        self.norm2 = GroupNorm(outputs)
        self.conv2 = zeroed(conv(outputs, outputs))
        if inputs != outputs:
            self.skip = conv(inputs, outputs, 1)

    def forward(self, x, embedding):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.emb_proj(embedding)[:, :, None, None].chunk(2, 1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return h + (self.skip(x) if hasattr(self, "skip") else x)


class SelfAttention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(channels)
        self.qkv = Linear(channels, 3 * channels)
        self.proj = zeroed(Linear(channels, channels))

    def forward(self, x):
        b, c, h, w = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        qkv = self.qkv(tokens).view(b, h * w, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        out = self.proj(mixed.transpose(1, 2).reshape(b, h * w, c))
        return x + out.transpose(1, 2).view(b, c, h, w)


class Stage(nn.Module):
    def __init__(self, inputs, outputs, emb_dim, heads):
        super().__init__()
        self.res = ResBlock(inputs, outputs, emb_dim)
        if heads:
            self.attention = SelfAttention(outputs, heads)

    def forward(self, x, embedding):
        x = self.res(x, embedding)
        return self.attention(x) if hasattr(self, "attention") else x


class Level(nn.Module):
    """One resolution: its blocks, then the convolution that leaves it, if any."""

    def __init__(self, blocks, **leave):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        for name, layer in leave.items():
            setattr(self, name, layer)

    def leave(self, name):
        # `self.double` would be Module's conversion to f64.
        return self._modules.get(name)


class UNet(nn.Module):
    """`config` is the card's `architecture`, i.e. the fields of UNetConfig."""

    def __init__(self, config):
        super().__init__()
        c = DEFAULTS | config
        base, count, self.stem = c["base_channels"], c["blocks_per_level"], c["stem"]
        shuffle, emb_dim = self.stem**2, 4 * base
        channels = [m * base for m in c["multipliers"]]
        first, bottom, last = channels[0], channels[-1], len(channels) - 1
        heads = [
            c["heads"] * (i in c["attention_levels"]) for i in range(len(channels))
        ]

        self.embedding = NoiseEmbedding(base, emb_dim, c["classes"])
        self.conv_in = conv((c["bands"] + c["conditioning_bands"]) * shuffle, first)
        current, skips, down = first, [first], []
        for level, n in enumerate(channels):
            blocks = []
            for _ in range(count):
                blocks.append(Stage(current, n, emb_dim, heads[level]))
                current = n
                skips.append(n)
            if level < last:
                skips.append(n)
                down.append(Level(blocks, halve=conv(n, n, stride=2)))
            else:
                down.append(Level(blocks))
        self.down = nn.ModuleList(down)
        self.mid1 = ResBlock(bottom, bottom, emb_dim)
        if c["middle_attention"]:
            self.mid_attention = SelfAttention(bottom, c["heads"])
        self.mid2 = ResBlock(bottom, bottom, emb_dim)
        up = []
        for level, n in reversed(list(enumerate(channels))):
            blocks = []
            for _ in range(count + 1):
                blocks.append(Stage(current + skips.pop(), n, emb_dim, heads[level]))
                current = n
            up.append(Level(blocks, double=conv(n, n)) if level else Level(blocks))
        self.up = nn.ModuleList(up)
        self.norm_out = GroupNorm(first)
        outputs = c["bands"] * (1 + (c["learned_variance"] or c["spread"]))
        self.conv_out = zeroed(conv(first, outputs * shuffle))

    def forward(self, x, c_noise, label=None):
        """x: [batch, bands + conditioning_bands, height, width], c_noise, label: [batch]."""
        embedding = self.embedding(c_noise, label)
        h = self.conv_in(F.pixel_unshuffle(x, self.stem))
        skips = [h]
        for level in self.down:
            for stage in level.blocks:
                h = stage(h, embedding)
                skips.append(h)
            if halve := level.leave("halve"):
                h = halve(h)
                skips.append(h)
        h = self.mid1(h, embedding)
        if hasattr(self, "mid_attention"):
            h = self.mid_attention(h)
        h = self.mid2(h, embedding)
        for level in self.up:
            for stage in level.blocks:
                h = stage(torch.cat([h, skips.pop()], 1), embedding)
            if double := level.leave("double"):
                h = double(F.interpolate(h, scale_factor=2, mode="nearest"))
        h = self.conv_out(F.silu(self.norm_out(h)))
        return F.pixel_shuffle(h, self.stem)

    def parameter_count(self):
        return sum(p.numel() for p in self.parameters())


def load(path):
    """The network of a checkpoint, in f32 and ready for inference, and its model card."""
    with safe_open(path, "pt") as file:
        card = json.loads(file.metadata()[CARD_KEY])
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    net = UNet(card["architecture"])
    net.load_state_dict(weights)
    return net.eval(), card
