"""PyTorch's half of tests/bench/gpu.sh: the same network, weights and batch as core/examples/gpu/main.rs, on
the same GPU, in single precision, with TF32 products and in bfloat16. One JSON object a precision.

    python3 gpu_peer.py CHECKPOINT
"""

import contextlib
import json
import os
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "reference"))
import twin

SIDE = 64
WARM_UP = 3


def median_ms(repeats, work):
    seconds = []
    for turn in range(repeats + WARM_UP):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        if turn >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) * 1e3


def measure(path, precision, batch, repeats):
    """Median milliseconds of a forward pass and of loss with gradients."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
        precision != "f32"
    )
    net, card = twin.load(path)
    net = net.cuda()
    bands = card["architecture"]["bands"]
    extra = card["architecture"].get("conditioning_bands", 0)

    def cast():
        if precision == "bf16":
            return torch.autocast("cuda", torch.bfloat16)
        return contextlib.nullcontext()

    x = torch.randn(batch, bands + extra, SIDE, SIDE, device="cuda")
    clean = torch.randn(batch, bands, SIDE, SIDE, device="cuda")
    c_noise = torch.zeros(batch, device="cuda")

    @torch.inference_mode()
    def forward():
        with cast():
            net(x, c_noise)

    def step():
        with cast():
            loss = (net(x, c_noise)[:, :bands] - clean).square().mean()
        for parameter in net.parameters():
            parameter.grad = None
        loss.backward()
        loss.item()

    features = torch.randn(batch, 64, SIDE // 2, SIDE // 2, device="cuda")
    weight = torch.randn(64, 64, 3, 3, device="cuda", requires_grad=True)
    gamma = torch.ones(64, device="cuda", requires_grad=True)
    beta = torch.zeros(64, device="cuda", requires_grad=True)

    def timed(operation, backward):
        def work():
            with (
                cast(),
                contextlib.nullcontext() if backward else torch.inference_mode(),
            ):
                y = operation(features.detach().requires_grad_(backward))
            if backward:
                y.mean().backward()

        return median_ms(repeats, work)

    def conv(value):
        return F.conv2d(value, weight, padding=1)

    def norm(value):
        return F.silu(F.group_norm(value, 16, gamma, beta, 1e-5))

    def upsample(value):
        return F.interpolate(value, scale_factor=2, mode="nearest")

    return {
        "device": f"torch-{precision}",
        "batch": batch,
        "forward_ms": median_ms(repeats, forward),
        "step_ms": median_ms(repeats, step),
        "operations_ms": {
            "convolution_3x3": timed(conv, False),
            "convolution_3x3_gradients": timed(conv, True),
            "group_norm_silu": timed(norm, False),
            "group_norm_silu_gradients": timed(norm, True),
            "upsample": timed(upsample, False),
        },
    }


def main():
    if not torch.cuda.is_available():
        sys.exit("gpu_peer.py: PyTorch sees no CUDA device here")
    batch = int(os.environ.get("BATCH", "128"))
    repeats = int(os.environ.get("REPEATS", "15"))
    for precision in ("f32", "tf32", "bf16"):
        print(json.dumps(measure(sys.argv[1], precision, batch, repeats)), flush=True)


if __name__ == "__main__":
    main()
