"""Makes data/guided_diffusion.safetensors: outputs of networks with the layout of guided-diffusion's
UNetModel (ADM; Dhariwal & Nichol 2021), and a DDPM run of one with learned variance (Nichol &
Dhariwal 2021), for core/src/model/interop/guided_diffusion.

The network is written from the papers and the names and shapes of the published state dicts, in f64.
Weights are not stored: `weight` makes them from their place, here and in ../src/guided_diffusion.rs.
"""

import json
import math
from pathlib import Path
from unittest import mock

import torch
from diffusers import DDPMScheduler
from diffusers.schedulers import scheduling_ddpm
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

DATA = Path(__file__).parent.parent / "data"
NETWORKS = {
    # As improved-diffusion: convolutions resample, a number of heads at levels of unlike width.
    "heads": {
        "model_channels": 32,
        "mult": [1, 1, 2],
        "res_blocks": 1,
        "attention": [False, True, True],
        "num_heads": 4,
        "in": 2,
        "out": 2,
        "flags": {"num_heads": 4, "image_size": 16, "learn_sigma": False},
    },
    # As the published ADM: residual blocks resample, time scales and shifts, classes, learned
    # variance, a width of a head.
    "adm": {
        "model_channels": 32,
        "mult": [1, 2],
        "res_blocks": 2,
        "attention": [False, True],
        "head_channels": 16,
        "updown": True,
        "scale_shift": True,
        "classes": 5,
        "in": 1,
        "out": 2,
        "flags": {
            "num_head_channels": 16,
            "num_channels": 32,
            "num_res_blocks": 2,
            "class_cond": True,
            "learn_sigma": True,
            "resblock_updown": True,
            "use_scale_shift_norm": True,
            "image_size": 16,
            "channel_mult": "1,2",
            "timestep_respacing": "6",
        },
    },
    # The other order of q, k and v; a first level narrower than the time, as the 512 x 512 ADM has
    # it; attention where residual blocks resample.
    "new_order": {
        "model_channels": 64,
        "mult": [0.5, 1],
        "res_blocks": 1,
        "attention": [True, True],
        "num_heads": 2,
        "new_order": True,
        "updown": True,
        "scale_shift": True,
        "in": 3,
        "out": 3,
        "flags": {
            "num_heads": 2,
            "use_new_attention_order": True,
            "noise_schedule": "cosine",
        },
    },
}
RUN, STEPS, SHAPE = "adm", 6, (2, 1, 16, 16)


def weight(place: int, shape: torch.Size, is_norm: bool) -> torch.Tensor:
    """The array that is the `place`-th by name: uniform numbers from integers, in f32."""
    h = (torch.arange(shape.numel()) + place * 1_000_003) & 0xFFFFFFFF
    for shift, factor in [(16, 0x7FEB352D), (15, 0x2C1B3C6D), (16, 0)]:
        h = h ^ (h >> shift)
        h = (h * factor) & 0xFFFFFFFF if factor else h
    uniform = h.double() / 2**31 - 1
    fan = shape.numel() // shape[0]
    spread = 0.3 if len(shape) == 1 else math.sqrt(4.5 / fan)
    return (uniform * spread + is_norm).float().reshape(shape)


def norm(channels: int) -> nn.Module:
    return nn.GroupNorm(32, channels)


class Res(nn.Module):
    """Norm, SiLU, convolution, time, norm, SiLU, convolution, and the input beside."""

    def __init__(self, inputs, outputs, dim, scale_shift, resample=None):
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.in_layers = nn.Sequential(norm(inputs), nn.SiLU(), conv)
        width = outputs * (2 if scale_shift else 1)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(dim, width))
        conv = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.out_layers = nn.Sequential(norm(outputs), nn.SiLU(), nn.Dropout(0.0), conv)
        same = inputs == outputs
        self.skip_connection = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1)
        self.scale_shift, self.resample = scale_shift, resample

    def forward(self, x, embedding):
        before, conv = self.in_layers[:-1], self.in_layers[-1]
        h = before(x)
        if self.resample == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        if self.resample == "up":
            h, x = (
                F.interpolate(h, scale_factor=2.0),
                F.interpolate(x, scale_factor=2.0),
            )
        h = conv(h)
        time = self.emb_layers(embedding)[:, :, None, None]
        if self.scale_shift:
            scale, shift = time.chunk(2, 1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + time)
        return self.skip_connection(x) + h


class Attention(nn.Module):
    def __init__(self, channels, heads, new_order):
        super().__init__()
        self.norm = norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)
        self.heads, self.new_order = heads, new_order

    def forward(self, x, _):
        b, c, *size = x.shape
        qkv = self.qkv(self.norm(x).flatten(2))
        if self.new_order:  # q, k and v, each of all heads
            qkv = qkv.reshape(b, 3, self.heads, c // self.heads, -1).transpose(1, 2)
        else:  # heads, each with its q, k and v
            qkv = qkv.reshape(b, self.heads, 3, c // self.heads, -1)
        q, k, v = qkv.unbind(2)
        scores = torch.einsum("bhcq,bhck->bhqk", q, k) / math.sqrt(c // self.heads)
        mixed = torch.einsum("bhqk,bhck->bhcq", scores.softmax(-1), v)
        return x + self.proj_out(mixed.reshape(b, c, -1)).reshape(b, c, *size)


class Down(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x, _):
        return self.op(x)


class Up(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, _):
        return self.conv(F.interpolate(x, scale_factor=2.0))


class UNet(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        features, dim = c["model_channels"], 4 * c["model_channels"]
        shift, updown = c.get("scale_shift", False), c.get("updown", False)
        widths = [int(m * features) for m in c["mult"]]
        self.features = features
        self.time_embed = nn.Sequential(
            nn.Linear(features, dim), nn.SiLU(), nn.Linear(dim, dim)
        )
        if "classes" in c:
            self.label_emb = nn.Embedding(c["classes"], dim)

        def res(i, o, resample=None):
            return Res(i, o, dim, shift, resample)

        def attention(channels):
            heads = c.get("num_heads") or channels // c["head_channels"]
            return Attention(channels, heads, c.get("new_order", False))

        blocks = [nn.ModuleList([nn.Conv2d(c["in"], widths[0], 3, padding=1)])]
        now, skips = widths[0], [widths[0]]
        for level, width in enumerate(widths):
            for _ in range(c["res_blocks"]):
                parts = [res(now, width)]
                now = width
                parts += [attention(now)] if c["attention"][level] else []
                blocks.append(nn.ModuleList(parts))
                skips.append(now)
            if level + 1 < len(widths):
                blocks.append(
                    nn.ModuleList([res(now, now, "down") if updown else Down(now)])
                )
                skips.append(now)
        self.input_blocks = nn.ModuleList(blocks)
        self.middle_block = nn.ModuleList(
            [res(now, now), attention(now), res(now, now)]
        )
        blocks = []
        for level, width in reversed(list(enumerate(widths))):
            for i in range(c["res_blocks"] + 1):
                parts = [res(now + skips.pop(), width)]
                now = width
                parts += [attention(now)] if c["attention"][level] else []
                if level > 0 and i == c["res_blocks"]:
                    parts.append(res(now, now, "up") if updown else Up(now))
                blocks.append(nn.ModuleList(parts))
        self.output_blocks = nn.ModuleList(blocks)
        conv = nn.Conv2d(now, c["out"], 3, padding=1)
        self.out = nn.Sequential(norm(now), nn.SiLU(), conv)

    def forward(self, x, t, label=None):
        half = self.features // 2
        rates = torch.exp(
            -math.log(10000) * torch.arange(half, dtype=torch.float64) / half
        )
        angle = t[:, None].double() * rates
        embedding = self.time_embed(torch.cat([angle.cos(), angle.sin()], 1))
        if label is not None:
            embedding = embedding + self.label_emb(label)
        h, skips = self.input_blocks[0][0](x), []
        skips.append(h)
        for block in self.input_blocks[1:]:
            for part in block:
                h = part(h, embedding)
            skips.append(h)
        for part in self.middle_block:
            h = part(h, embedding)
        for block in self.output_blocks:
            h = torch.cat([h, skips.pop()], 1)
            for part in block:
                h = part(h, embedding)
        return self.out(h)


def network(config: dict) -> UNet:
    net = UNet(config)
    norms = {
        f"{name}.weight"
        for name, part in net.named_modules()
        if isinstance(part, nn.GroupNorm)
    }
    state = net.state_dict()
    values = {
        name: weight(place, state[name].shape, name in norms)
        for place, name in enumerate(sorted(state))
    }
    net.load_state_dict(values)
    return net.double().eval()


def ddpm(net: UNet, label: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Ancestral sampling with learned variance over evenly spaced timesteps of 1000, the estimate
    clipped (Nichol & Dhariwal 2021, eq. 15 and sect. 4)."""
    bars = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    times = torch.linspace(0, 999, STEPS).round().long().flip(0).tolist()
    x, states = noise[0].double(), []
    for i, t in enumerate(times):
        bar = bars[t]
        before = bars[times[i + 1]] if i + 1 < STEPS else torch.tensor(1.0).double()
        beta = 1 - bar / before
        with torch.no_grad():
            eps, v = net(x, torch.full((len(x),), t), label).chunk(2, 1)
        x0 = ((x - (1 - bar).sqrt() * eps) / bar.sqrt()).clamp(-1, 1)
        x = (before.sqrt() * beta * x0 + (bar / before).sqrt() * (1 - before) * x) / (
            1 - bar
        )
        if i + 1 < STEPS:
            share = (v + 1) / 2
            smallest = beta * (1 - before) / (1 - bar)
            log = share * beta.log() + (1 - share) * smallest.log()
            x = x + (log / 2).exp() * noise[i + 1].double()
        states.append(x)
    return torch.stack(states)


def by_diffusers(net: UNet, label: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The same run by diffusers' scheduler, as a check of `ddpm`."""
    scheduler = DDPMScheduler(
        variance_type="learned_range",
        timestep_spacing="linspace",
        beta_schedule="linear",
    )
    scheduler.set_timesteps(STEPS)
    x = noise[0].double()
    draws = iter(noise[1:])
    for t in scheduler.timesteps:
        with torch.no_grad():
            out = net(x, torch.full((len(x),), int(t)), label)
        # It draws for itself: give it what was drawn.
        draw = next(draws).double() if t > 0 else None
        with mock.patch.object(
            scheduling_ddpm, "randn_tensor", lambda *_, _d=draw, **__: _d
        ):
            x = scheduler.step(out, t, x).prev_sample
    return x


def main() -> None:
    torch.manual_seed(11)
    arrays, metadata = {}, {"torch": torch.__version__}
    for name, config in NETWORKS.items():
        net = network(config)
        x = torch.randn(2, config["in"], 16, 8)
        t = torch.tensor([3, 871])
        label = torch.tensor([4, 1]) if "classes" in config else None
        with torch.no_grad():
            y = net(x.double(), t, label).float()
        arrays |= {f"{name}.x": x, f"{name}.t": t.float(), f"{name}.y": y}
        if label is not None:
            arrays[f"{name}.label"] = label.float()
        shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
        norms = [
            f"{key}.weight"
            for key, part in net.named_modules()
            if isinstance(part, nn.GroupNorm)
        ]
        metadata[f"{name}.shapes"] = json.dumps(shapes)
        metadata[f"{name}.norms"] = json.dumps(norms)
        metadata[f"{name}.flags"] = json.dumps(config["flags"])
        count = sum(p.numel() for p in net.parameters())
        print(f"{name}: {count} parameters, output std {y.std():.2f}")
    net, label = network(NETWORKS[RUN]), torch.tensor([0, 3])
    noise = torch.randn(STEPS, *SHAPE)
    states = ddpm(net, label, noise)
    worst = (states[-1] - by_diffusers(net, label, noise)).abs().max().item()
    print(f"run: std {states[-1].std():.2f}, diffusers differs by {worst:.1e}")
    assert worst < 1e-4  # its betas are f32
    arrays |= {
        "run.noise": noise,
        "run.label": label.float(),
        "run.states": states.float(),
    }
    save_file(arrays, DATA / "guided_diffusion.safetensors", metadata)


if __name__ == "__main__":
    main()
