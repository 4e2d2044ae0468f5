#!/usr/bin/env python3
"""Runs restores, generations, a mask and two small trainings; compares every value they write.

    python3 byte_identity.py PROGRAM --against OLD_PROGRAM     run both, compare
    python3 byte_identity.py PROGRAM --record SUMS.json        run one, keep its checksums
    python3 byte_identity.py PROGRAM --check SUMS.json         run one, compare with kept ones

For refactorings: outputs have to stay what they are, to the last bit. The inputs are the
committed demo scenes. Kept checksums hold for one kind of processor, since the CPU kernels sum
in vectors as wide as the processor's; on another kind `--check` says so and compares nothing.
Exit 1 when a case differs. Needs numpy and GDAL's Python bindings.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from osgeo import gdal

gdal.UseExceptions()

HERE = Path(__file__).resolve().parent
DEMO = HERE / "data" / "demo"
UNCONDITIONAL = (
    HERE.parent / "core" / "models" / "eurosat-rgb-unconditional.safetensors"
)
SCENE, MASK, OTHER = (
    DEMO / f"latium_{name}.tif" for name in ("20180705", "20180705_mask", "20181112")
)
MASKED = ["--mask", "{mask}", "--mask-values", "1,2", "--dilate-px", "0"]
UNINFORMED = ["--model", str(UNCONDITIONAL), "--samples", "1", "--tile-px", "64"]

# Arguments of `restore` besides scene, mask, output, seed and device.
RESTORES = {
    "13 bands, mean": ("{scene}", []),
    "13 bands, sample": (
        "{scene}",
        ["--write", "sample", "--samples", "2", "--steps", "2"],
    ),
    "13 bands, texture": (
        "{scene}",
        ["--write", "texture", "--samples", "2", "--steps", "1"],
    ),
    "13 bands, fast": ("{scene}", ["--quality", "fast"]),
    "13 bands, default, another date": ("{scene}", ["--reference", "{other}"]),
    "13 bands, another date": (
        "{scene}",
        ["--reference", "{other}", "--samples", "2", "--steps", "2"],
    ),
    "8 bits": ("{eight}", ["--samples", "2", "--steps", "2"]),
    "16 bits, RGB": ("{rgb}", ["--bands", "1,2,3", "--samples", "2", "--steps", "2"]),
    "floats": ("{floats}", ["--samples", "2", "--steps", "2"]),
    "one band": ("{one}", ["--samples", "2", "--steps", "2"]),
    "another sampler": (
        "{eight}",
        ["--sampler", "heun", "--samples", "2", "--steps", "2"],
    ),
    "small tiles": (
        "{eight}",
        ["--tile-px", "48", "--overlap-px", "16", "--samples", "2", "--steps", "1"],
    ),
    "sum": ("{eight}", [*UNINFORMED, "--method", "sum", "--steps", "4"]),
    "repaint": ("{eight}", [*UNINFORMED, "--method", "repaint", "--steps", "3"]),
    "ddnm": ("{eight}", [*UNINFORMED, "--method", "ddnm", "--steps", "4"]),
    "dps": ("{eight}", [*UNINFORMED, "--method", "dps", "--steps", "3"]),
    "cold": ("{eight}", ["--model", "{cold}", "--samples", "1"]),
    "just trained": (
        "{eight}",
        ["--model", "{guided}", "--samples", "2", "--steps", "2"],
    ),
    "detected clouds": (
        "{clouded}",
        ["--mask-from", "auto", "--samples", "1", "--steps", "1"],
    ),
}
GENERATIONS = {
    "generate": ["--steps", "3"],
    "generate from an image": [
        "--steps",
        "4",
        "--init",
        "{eight}",
        "--strength",
        "0.5",
    ],
}

RECIPE = """
[data]
sources = ['tiles']
tile_px = 32
name = 'pieces of the demo scenes'
licence = 'CC-BY-SA-4.0'
{task}
[model]
base_channels = 8
multipliers = [1, 2]
blocks_per_level = 1
{model}
[diffusion]
{diffusion}
[train]
steps = 6
batch = 4
learning_rate = 1e-3
warmup_steps = 2
seed = 3
log_every = 1
validate_every_steps = 6
validate_tiles = 8
checkpoint_every = 6
[output]
dir = '{name}'
name = '{name}'
"""
TRAININGS = {
    "guided": (
        "[hints]\nreference = 0.3\ncoarse = 0.3",
        "",
        "conditioning = 'guided'",
    ),
    "direct": (
        "[hints]\nreference = 0.3",
        "spread = true",
        "conditioning = 'guided'\ndirect = 0.5",
    ),
    "cold": (
        "[task]\nname = 'cold-diffusion'\ndegradation = 'mask'\nsteps = 4",
        "",
        "conditioning = 'none'\nprediction = 'x0'",
    ),
}


def write(path, pixels, like=None):
    """A GeoTIFF of `[bands, height, width]`."""
    kinds = {
        "uint8": gdal.GDT_Byte,
        "uint16": gdal.GDT_UInt16,
        "float32": gdal.GDT_Float32,
    }
    bands, height, width = pixels.shape
    driver = gdal.GetDriverByName("GTiff")
    made = driver.Create(str(path), width, height, bands, kinds[pixels.dtype.name])
    if like is not None:
        made.SetGeoTransform(like.GetGeoTransform())
        made.SetProjection(like.GetProjection())
    for band, values in enumerate(pixels, 1):
        made.GetRasterBand(band).WriteArray(values)
    return str(path)


def inputs(folder):
    """The files the cases name, made of the demo scenes."""
    scene = gdal.Open(str(SCENE))
    pixels = scene.ReadAsArray()
    rgb = pixels[[3, 2, 1]]
    eight = np.clip(rgb / 2750 * 255, 0, 255).astype("uint8")
    tiles = folder / "tiles"
    tiles.mkdir()
    for index in range(24):
        row, col = 40 * (index // 6), 40 * (index % 6)
        write(tiles / f"Piece_{index}.tif", eight[:, row : row + 32, col : col + 32])
    return {
        "scene": str(SCENE),
        "mask": str(MASK),
        "other": str(OTHER),
        "clouded": str(DEMO / "punjab_20200823.tif"),
        "eight": write(folder / "eight.tif", eight, scene),
        "rgb": write(folder / "rgb.tif", rgb, scene),
        "one": write(folder / "one.tif", pixels[7:8], scene),
        "floats": write(folder / "floats.tif", (rgb / 10000).astype("float32"), scene),
    }


def call(program, *arguments):
    """Runs the program; its own words when it fails."""
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{program} {' '.join(map(str, arguments))}\n{done.stderr}")


def checksum(path):
    """Of every value in a raster, and of its type and size."""
    pixels = gdal.Open(str(path)).ReadAsArray()
    described = f"{pixels.dtype} {pixels.shape}".encode()
    return hashlib.sha256(described + pixels.tobytes()).hexdigest()


def weights(path):
    """Of the numbers of a checkpoint; its card may be worded anew."""
    data = Path(path).read_bytes()
    header = int.from_bytes(data[:8], "little")
    return hashlib.sha256(data[8 + header :]).hexdigest()


def run(program):
    """The checksum of each case by name."""
    sums = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        files = inputs(folder)
        common = ["--seed", "5", "--device", "cpu"]
        for name, (task, model, diffusion) in TRAININGS.items():
            recipe = folder / f"{name}.toml"
            recipe.write_text(
                RECIPE.format(name=name, task=task, model=model, diffusion=diffusion),
                "utf-8",
            )
            call(program, "train", recipe, "--device", "cpu", "--progress", "none")
            files[name] = str(folder / name / f"{name}.safetensors")
            sums[f"train {name}"] = weights(files[name])
        for name, (scene, more) in RESTORES.items():
            out, spread = folder / "out.tif", folder / "spread.tif"
            arguments = [part.format(**files) for part in [scene, *more]]
            if "--mask-from" not in more:
                arguments += [part.format(**files) for part in MASKED]
            else:
                arguments += ["--dilate-px", "0"]
            if "--samples" not in more or more[more.index("--samples") + 1] != "1":
                arguments += ["--uncertainty", spread]
            call(
                program,
                "restore",
                *arguments,
                *common,
                "-o",
                out,
                "--overwrite",
                "--progress",
                "none",
            )
            sums[name] = checksum(out)
            if spread.exists():
                sums[f"{name}, uncertainty"] = checksum(spread)
                spread.unlink()
        for name, more in GENERATIONS.items():
            out = folder / f"{len(sums)}.tif"
            more = [part.format(**files) for part in more]
            call(
                program,
                "generate",
                UNCONDITIONAL,
                "--format",
                "tif",
                *more,
                *common,
                "-o",
                out,
                "--progress",
                "none",
            )
            sums[name] = checksum(out)
        out = folder / "found.tif"
        call(
            program,
            "mask",
            files["clouded"],
            "--from",
            "auto",
            "--dilate-px",
            "2",
            "-o",
            out,
            "--progress",
            "none",
        )
        sums["mask"] = checksum(out)
    return sums


def processor():
    """What decides how wide the kernels' vectors are."""
    flags = set()
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith(("flags", "Features")):
            flags = set(line.split(":", 1)[1].split())
            break
    return sorted(flags & {"sse4_2", "avx", "avx2", "fma", "avx512f", "asimd"})


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--against")
    how.add_argument("--record")
    how.add_argument("--check")
    asked = parser.parse_args()
    if asked.check:
        kept = json.loads(Path(asked.check).read_text("utf-8"))
        if kept["processor"] != processor():
            print(
                f"SKIPPED: the checksums are of {kept['processor']}, this is {processor()}"
            )
            return 0
    sums = run(asked.program)
    if asked.record:
        kept = {"processor": processor(), "sums": sums}
        Path(asked.record).write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
        print(f"{len(sums)} checksums in {asked.record}")
        return 0
    expected = kept["sums"] if asked.check else run(asked.against)
    differing = [name for name in expected if sums.get(name) != expected[name]]
    for name in differing:
        print(f"differs: {name}")
    print(f"{len(expected) - len(differing)} of {len(expected)} the same")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
