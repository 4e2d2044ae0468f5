"""The user's alternative beside ours: diffusers' RePaint with an equal network, 250 steps with jumps
of 10 x 10, against `unclouded` at its default quality; part of `make bench`.

Tiles are cut from the bundled clear scene of Punjab, the masks from the real cloud mask that lies
beside it. RePaint runs our unconditional checkpoint in PyTorch: the same layers and nearly as many
parameters as the bundled model, trained on the same tiles.

    python tests/bench/repaint.py --unclouded target/release/unclouded --prior PRIOR.safetensors
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tifffile
import torch
from diffusers import RePaintPipeline, RePaintScheduler
from PIL import Image

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
DEMO = REPOSITORY / "tests/data/demo"
sys.path.insert(0, str(HERE.parent / "reference"))
import twin

SIDE = 64
FULL = 2750.0  # digital number shown as 255
RANGE = 3.0  # visible standard deviations that map to 1 in RePaint's [-1, 1]
SIGMA_MAX = 40.0  # the prior's


class Prior(torch.nn.Module):
    """Our EDM network as the eps network of a DDPM on images divided by RANGE."""

    def __init__(self, path, alphas_cumprod):
        super().__init__()
        self.net, card = twin.load(path)
        self.sigma_data = card["prediction"]["edm"]["sigma_data"]
        self.alphas = alphas_cumprod
        self.calls = 0

    dtype = torch.float32
    device = torch.device("cpu")

    @torch.inference_mode()
    def forward(self, y, timestep):
        self.calls += 1
        bar = self.alphas[int(timestep)].item()
        alpha, noise = bar**0.5, (1 - bar) ** 0.5
        sigma = RANGE * noise / alpha
        # Beyond the noisiest level of its training the network sees that level.
        shown = min(sigma, SIGMA_MAX)
        x = RANGE * y / alpha * (shown / sigma)
        total = shown**2 + self.sigma_data**2
        c_noise = torch.full((len(y),), np.log(shown) / 4)
        output = self.net(x / total**0.5, c_noise)
        clean = (
            x * self.sigma_data**2 / total
            + output * shown * self.sigma_data / total**0.5
        )
        eps = (y - alpha * clean / RANGE) / noise
        return SimpleNamespace(sample=eps)


def cut(count):
    """8-bit RGB tiles and masks (True = hidden), 10 to 70 % hidden, spread over the scene."""
    scene = tifffile.imread(DEMO / "punjab_20200604.tif")
    hidden = tifffile.imread(DEMO / "punjab_20200604_mask.tif") > 0
    if scene.shape[0] < scene.shape[-1]:
        scene = scene.transpose(1, 2, 0)
    rgb = np.clip(scene[..., [3, 2, 1]] / FULL * 255, 0, 255).round().astype(np.uint8)
    found = []
    for row in range(0, rgb.shape[0] - SIDE + 1, 40):
        for col in range(0, rgb.shape[1] - SIDE + 1, 40):
            place = np.s_[row : row + SIDE, col : col + SIDE]
            if 0.1 <= hidden[place].mean() <= 0.7:
                found.append((rgb[place], hidden[place]))
    chosen = np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)
    return [found[i] for i in chosen]


def psnr(image, truth, hidden):
    error = (image.astype(float) - truth)[hidden]
    return 10 * np.log10(255**2 / (error**2).mean())


def repaint(prior, tiles, steps):
    """Images and seconds a tile, all tiles in one batch."""
    scheduler = RePaintScheduler()
    unet = Prior(prior, scheduler.alphas_cumprod)
    pipe = RePaintPipeline(unet=unet, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    visible = [tile[~hidden].astype(float) for tile, hidden in tiles]
    mean = np.array([v.mean() for v in visible])[:, None, None, None]
    scale = np.array([v.std() * RANGE for v in visible])[:, None, None, None]
    images = np.stack([t.transpose(2, 0, 1) for t, _ in tiles])
    known = np.stack([~hidden for _, hidden in tiles])[:, None]
    image = torch.tensor((images - mean) / scale * known, dtype=torch.float32)
    start = time.perf_counter()
    output = pipe(
        image=image,
        mask_image=torch.tensor(known, dtype=torch.float32),
        num_inference_steps=steps,
        eta=0.0,
        jump_length=10,
        jump_n_sample=10,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
        return_dict=False,
    )[0]
    seconds = (time.perf_counter() - start) / len(tiles)
    restored = (output * 2 - 1) * scale.reshape(-1, 1, 1, 1) + mean.reshape(-1, 1, 1, 1)
    return np.clip(restored, 0, 255), seconds, unet.calls


def ours(program, tiles, folder):
    """Scores of `unclouded evaluate` on the same tiles, and its seconds a tile."""
    for name in ("clear", "masks"):
        (folder / name).mkdir()
    for i, (tile, hidden) in enumerate(tiles):
        Image.fromarray(tile).save(folder / "clear" / f"{i}.png")
        Image.fromarray(hidden.astype(np.uint8)).save(folder / "masks" / f"{i}.png")
    report = folder / "report.json"
    command = [program, "evaluate", "--device", "cpu", "--progress", "none"]
    command += ["--clear", folder / "clear", "--masks", folder / "masks"]
    subprocess.run([*command, "--json", report], check=True, stdout=subprocess.DEVNULL)
    methods = json.loads(report.read_text())["methods"]
    return methods["unclouded"], methods["idw"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unclouded", required=True, help="the program")
    parser.add_argument("--prior", required=True, help="unconditional checkpoint")
    parser.add_argument("--tiles", type=int, default=4)
    parser.add_argument("--steps", type=int, default=250)
    args = parser.parse_args()
    torch.set_num_threads(2)
    tiles = cut(args.tiles)
    with tempfile.TemporaryDirectory() as folder:
        scores, idw = ours(args.unclouded, tiles, Path(folder))
    images, seconds, calls = repaint(args.prior, tiles, args.steps)
    pairs = zip(images, tiles, strict=True)
    theirs = np.mean([psnr(image, tile, hidden) for image, (tile, hidden) in pairs])
    print(f"\n{len(tiles)} tiles of {SIDE} x {SIDE}, inside the mask")
    print(f"{'method':<44}{'PSNR dB':>9}{'s a tile':>10}")
    name = f"diffusers RePaint, {args.steps} steps, {calls} calls"
    rows = [
        (
            "unclouded, default quality",
            scores["masked"]["psnr_db"],
            scores["seconds_per_image"],
        ),
        (name, theirs, seconds),
        ("inverse distance", idw["masked"]["psnr_db"], idw["seconds_per_image"]),
    ]
    for label, decibel, took in rows:
        print(f"{label:<44}{decibel:>9.2f}{took:>10.3f}")
    print(
        f"RePaint takes {seconds / scores['seconds_per_image']:.0f} times as long as ours"
    )


if __name__ == "__main__":
    main()
