#!/usr/bin/env python3
"""Restores whole generated scenes and prints time, peak memory and how good the forecast was.

    python3 tests/scene_bench.py --binary PATH --source TIF --sizes 5490 10980

Each scene is a mosaic of N x N pixels of SOURCE, a clear GeoTIFF of any size, mirrored at its
edges so that no seam shows. Clouds are stamped onto it from generated fractal noise, or from the
frames of real masks (--mask FILE.npy, uint8 [frames, height, width]), until --cloud-fraction of
the pixels is covered. Each run is forecast first (--dry-run), then timed; the peak is that of the
kernel for this child process (ru_maxrss). Options of `restore` follow after `--`.

A second line shows how good the time was that the run said is left: at 5, 10, 25 and 50 % of the
filling, the seconds said, the seconds it took from there to the end of the run, and the error.

Exit 1 when a run fails, its peak is above --most-mb, the peak of the largest scene is above that
of the smallest by more than --most-growth, or with --eta-within the time left was said worse.

    python3 tests/scene_bench.py --binary PATH --source TIF --sizes 1098 --kills 20

instead ends runs with SIGKILL at random moments, goes on with --resume, and compares the result
with that of an undisturbed run byte by byte.

Needs numpy and GDAL's Python bindings; Linux or macOS.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from osgeo import gdal

gdal.UseExceptions()

# Rows of the scene that are made at once.
STRIP = 512
GTIFF = ["TILED=YES", "COMPRESS=DEFLATE", "PREDICTOR=2", "ZLEVEL=1", "BIGTIFF=IF_SAFER"]


def mirrored(size, count):
    """Indices 0..count of an axis of `size` pixels that is mirrored again and again."""
    period = np.concatenate([np.arange(size), np.arange(size)[::-1]])
    return np.resize(period, count)


def size_of(text):
    """Width and height from «N» or «WIDTHxHEIGHT»."""
    width, _, height = text.partition("x")
    return int(width), int(height or width)


def make_scene(source, size, path):
    """The mosaic, with the type, CRS, resolution and band names of its source."""
    width, height = size_of(size)
    original = gdal.Open(str(source))
    pixels = original.ReadAsArray()
    pixels = pixels[np.newaxis] if pixels.ndim == 2 else pixels
    rows, cols = mirrored(pixels.shape[1], height), mirrored(pixels.shape[2], width)
    kind = original.GetRasterBand(1).DataType
    out = gdal.GetDriverByName("GTiff").Create(
        str(path), width, height, pixels.shape[0], kind, options=GTIFF
    )
    out.SetGeoTransform(original.GetGeoTransform())
    out.SetProjection(original.GetProjection())
    for number in range(1, pixels.shape[0] + 1):
        name = original.GetRasterBand(number).GetDescription()
        out.GetRasterBand(number).SetDescription(name)
    for row in range(0, height, STRIP):
        part = pixels[:, rows[row : row + STRIP]][:, :, cols]
        out.WriteArray(part, 0, row)
    out.FlushCache()


# Wavelengths in pixels, and how much each counts.
OCTAVES = [(256, 1.0), (128, 0.55), (64, 0.3), (32, 0.16), (16, 0.09), (8, 0.05)]


def smooth_noise(nodes, scale, rows, cols):
    """Random numbers every `scale` pixels, linear between them, at these rows and columns."""
    down, across = rows / np.float32(scale), cols / np.float32(scale)
    top, left = down.astype(int), across.astype(int)
    v, u = (down - top)[:, None], across - left
    upper = nodes[top][:, left] * (1 - u) + nodes[top][:, left + 1] * u
    lower = nodes[top + 1][:, left] * (1 - u) + nodes[top + 1][:, left + 1] * u
    return upper * (1 - v) + lower * v


def fractal_clouds(rng, width, height, fraction):
    """Clouds of fractal noise: ragged patches of tens to hundreds of pixels."""
    nodes = [
        rng.random((height // scale + 2, width // scale + 2), dtype=np.float32)
        for scale, _ in OCTAVES
    ]

    def field(rows, cols):
        parts = zip(OCTAVES, nodes, strict=True)
        return sum(
            weight * smooth_noise(n, scale, rows, cols) for (scale, weight), n in parts
        )

    some_rows = np.arange(0, height, max(height // 1500, 1), dtype=np.float32)
    some_cols = np.arange(0, width, max(width // 1500, 1), dtype=np.float32)
    threshold = np.quantile(field(some_rows, some_cols), 1 - fraction)
    cols = np.arange(width, dtype=np.float32)
    clouds = np.zeros((height, width), bool)
    for row in range(0, height, STRIP):
        rows = np.arange(row, min(row + STRIP, height), dtype=np.float32)
        clouds[row : row + STRIP] = field(rows, cols) > threshold
    return clouds


def stamped_clouds(rng, width, height, fraction, frames):
    """Frames of real masks, turned and mirrored, at random places."""
    clouds = np.zeros((height, width), bool)
    frames = frames.reshape(frames.shape[:3])
    frames = [frame != 0 for frame in frames if 0.02 < np.mean(frame != 0) < 0.7]
    while clouds.mean() < fraction:
        for _ in range(max(width * height // 1_000_000, 1)):
            frame = np.rot90(frames[rng.integers(len(frames))], rng.integers(4))
            rows, cols = min(frame.shape[0], height), min(frame.shape[1], width)
            row, col = rng.integers(height - rows + 1), rng.integers(width - cols + 1)
            clouds[row : row + rows, col : col + cols] |= frame[:rows, :cols]
    return clouds


def make_mask(args, size, like, path):
    """A mask on the grid of the scene."""
    width, height = size_of(size)
    rng = np.random.default_rng(args.seed)
    if args.mask:
        clouds = stamped_clouds(
            rng, width, height, args.cloud_fraction, np.load(args.mask)
        )
    else:
        clouds = fractal_clouds(rng, width, height, args.cloud_fraction)
    scene = gdal.Open(str(like))
    out = gdal.GetDriverByName("GTiff").Create(
        str(path),
        width,
        height,
        1,
        gdal.GDT_Byte,
        options=["TILED=YES", "COMPRESS=DEFLATE"],
    )
    out.SetGeoTransform(scene.GetGeoTransform())
    out.SetProjection(scene.GetProjection())
    out.WriteArray(clouds.astype(np.uint8))
    out.FlushCache()


def prepare(args, folder, side):
    """Scene and mask of this size, made once."""
    scene = folder / f"scene-{side}.tif"
    kind = args.mask.stem if args.mask else "fractal"
    mask = folder / f"mask-{side}-{kind}-{args.cloud_fraction}-{args.seed}.tif"
    if not scene.exists():
        make_scene(args.source, side, scene)
    if not mask.exists():
        make_mask(args, side, scene, mask)
    return scene, mask


def command(args, scene, mask, out, *more):
    """The command line of a run."""
    line = [
        args.binary,
        "restore",
        scene,
        "-o",
        out,
        "--mask",
        mask,
        *args.options,
        *more,
    ]
    return [str(word) for word in line]


def measured(line):
    """Runs a command that prints JSON lines: those lines, exit code, seconds, peak in MiB."""
    began = time.monotonic()
    child = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines = []
    for text in child.stdout:
        lines.append({"at": time.monotonic() - began, **json.loads(text)})
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    # Kilobytes on Linux, bytes on macOS.
    peak = usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)
    if child.returncode:
        sys.exit(f"{' '.join(line)}\nexit {child.returncode}\n{errors}")
    return lines, seconds, peak


# Shares of the filling after which the time left is compared.
ETA_SHARES = [0.05, 0.1, 0.25, 0.5]


def eta_table(lines, end):
    """Time left as said past each of the shares, and what it took to the end of the run."""
    fill = [
        line for line in lines if line["type"] == "progress" and line["stage"] == "fill"
    ]
    began, finished = fill[0]["at"], fill[-1]["at"]
    table = []
    for share in ETA_SHARES:
        moment = began + share * (finished - began)
        line = next(line for line in fill if line["at"] >= moment)
        if line["eta_seconds"] is not None:
            table.append((share, line["eta_seconds"], end - line["at"]))
    return table


def eta_text(table):
    """For people: «5 %: 95 of 100 s (-5 %)»."""
    parts = [
        f"{share:.0%}: {said:.1f} of {took:.1f} s ({said / took - 1:+.0%})"
        for share, said, took in table
    ]
    return "time left as said, of what it took, at " + ", ".join(parts)


def bench(args, folder):
    """Runs every size; returns whether all bounds hold."""
    print(
        f"{'size':>11} {'cloud':>6} {'tiles':>6} {'of':>6} {'seconds':>8} {'s/tile':>7} "
        f"{'peak MiB':>8} {'forecast s':>10} {'forecast MiB':>12}",
        flush=True,
    )
    peaks, punctual = [], True
    for side in args.sizes:
        scene, mask = prepare(args, folder, side)
        out = folder / f"out-{side}.tif"
        out.unlink(missing_ok=True)
        json_lines = ["--progress", "json"]
        forecast = measured(command(args, scene, mask, out, "--dry-run", *json_lines))[
            0
        ][-1]
        lines, seconds, peak = measured(command(args, scene, mask, out, *json_lines))
        promised, done = forecast["result"], lines[-1]["result"]
        pixels = done["pixels"]
        table = eta_table(lines, lines[-1]["at"])
        tiles = done["tiles"]
        print(
            f"{side:>11} {100 * pixels['fill'] / pixels['data']:>5.1f}% {tiles:>6} "
            f"{promised['tiles_of_scene']:>6} {seconds:>8.1f} {seconds / max(tiles, 1):>7.3f} "
            f"{peak:>8.0f} {promised['seconds']:>10.0f} "
            f"{promised['memory_bytes'] / 2**20:>12.0f}",
            flush=True,
        )
        print(eta_text(table), flush=True)
        if args.eta_within:
            good = [abs(said / took - 1) <= args.eta_within for _, said, took in table]
            punctual &= len(good) == len(ETA_SHARES) and all(good)
        if done["clear_pixels_changed"]:
            sys.exit("clear pixels changed")
        subprocess.run(["gdalinfo", str(out)], check=True, stdout=subprocess.DEVNULL)
        peaks.append(peak)
        if not args.keep:
            out.unlink()
    growth = peaks[-1] / peaks[0]
    print(f"peak of {args.sizes[-1]} / peak of {args.sizes[0]}: {growth:.2f}")
    small = max(peaks) <= args.most_mb and growth <= 1 + args.most_growth
    return small and punctual


def digest(path):
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kills(args, folder):
    """SIGKILL at random moments; returns whether every promise held."""
    side = args.sizes[0]
    scene, mask = prepare(args, folder, side)
    inputs = {path: digest(path) for path in (scene, mask)}
    whole, out = folder / "undisturbed.tif", folder / "killed.tif"
    for path in (whole, out):
        path.unlink(missing_ok=True)
    _, seconds, _ = measured(command(args, scene, mask, whole, "--progress", "json"))
    print(f"undisturbed: {seconds:.1f} s")
    rng = random.Random(args.seed)
    finished = 0
    for number in range(1, args.kills + 1):
        wait = rng.uniform(0, min(seconds, 1.2 * seconds / args.kills * 4))
        child = subprocess.Popen(
            command(args, scene, mask, out, "--resume"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            child.wait(wait)
            how = f"finished with exit {child.returncode}"
            if child.returncode:
                print(f"kill {number}: {how}")
                return False
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            how = "killed"
        if out.exists():
            finished += 1
            if digest(out) != digest(whole):
                print(
                    f"kill {number}: a file under the final name that is not the result"
                )
                return False
            out.unlink()
        print(f"kill {number} after {wait:.1f} s: {how}", flush=True)
        if any(digest(path) != before for path, before in inputs.items()):
            print("an input was changed")
            return False
    _, again, _ = measured(
        command(args, scene, mask, out, "--resume", "--progress", "json")
    )
    same = digest(out) == digest(whole)
    left = sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
    print(
        f"resumed: {again:.1f} s, {'same bytes' if same else 'OTHER BYTES'}, left behind: {left}"
    )
    print(f"{args.kills} kills, {finished} runs were complete before theirs")
    return same and not left


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True, type=Path)
    parser.add_argument("--source", required=True, type=Path, help="a clear GeoTIFF")
    parser.add_argument(
        "--sizes", nargs="+", default=["5490", "10980"], help="N, or WIDTHxHEIGHT"
    )
    parser.add_argument("--cloud-fraction", type=float, default=0.03)
    parser.add_argument(
        "--mask", type=Path, help="real masks, .npy; else fractal noise"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-mb", type=float, default=1024, help="largest peak, MiB")
    parser.add_argument("--most-growth", type=float, default=0.15)
    parser.add_argument(
        "--eta-within",
        type=float,
        help="largest error of the time left, e.g. 0.25; on a machine that does nothing else",
    )
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keep scenes here for the next time")
    parser.add_argument("--keep", action="store_true", help="keep the results, too")
    own, options = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, options = own[:at], own[at + 1 :]
    args = parser.parse_args(own)
    args.options = options
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        good = kills(args, folder) if args.kills else bench(args, folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
