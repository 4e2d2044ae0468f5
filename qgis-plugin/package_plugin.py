#!/usr/bin/env python3
"""Packs the QGIS plugin into the two ZIP files that are published.

unclouded_qgis.zip is for 'Install from ZIP': it contains the program, one folder a platform, and
with it the models. unclouded_qgis_repository.zip is for plugins.qgis.org, which takes no binaries
and no package above 25 MB; there the plugin asks for the program.

    python3 qgis-plugin/package_plugin.py --binary target/release/unclouded --out dist
"""

# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
PLUGIN = REPO / "qgis-plugin" / "unclouded_qgis"
SAMPLE = REPO / "tests" / "data" / "demo"
NAME = "unclouded_qgis"
REPOSITORY_LIMIT_BYTES = 25_000_000
SAMPLE_FILES = (
    "latium_20180705.tif",
    "latium_20180705_mask.tif",
    "latium_20181112.tif",
    "README.md",
)
# The same files give the same ZIP: no times of this machine.
TIME = (2020, 1, 1, 0, 0, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--binary",
        action="append",
        default=[],
        metavar="[PLATFORM=]PATH",
        help="the program, stripped on the way; PLATFORM like windows-x86_64, "
        "by default this machine's; can be repeated",
    )
    parser.add_argument("--out", type=Path, default=REPO / "dist")
    parser.add_argument(
        "--url", help="address of the project, for homepage, repository and tracker"
    )
    arguments = parser.parse_args()
    if not arguments.binary:
        parser.error("no --binary: build it first (cargo build --release -p unclouded)")
    arguments.out.mkdir(parents=True, exist_ok=True)
    files = plugin_files(arguments.url)
    # The addresses in the source hold the place of real ones: a link that leads nowhere is worse
    # than none, and only the plugin repository insists.
    installed = dict(files)
    if not arguments.url:
        text = files["metadata.txt"].decode()
        text = re.sub(r"^\w+=\S*unclouded\.example\S*\n", "", text, flags=re.MULTILINE)
        installed["metadata.txt"] = text.encode()
    with tempfile.TemporaryDirectory() as folder:
        programs = {}
        for word in arguments.binary:
            platform, _, path = word.rpartition("=")
            platform, path = platform or this_platform(), Path(path)
            if not path.is_file():
                sys.exit(f"error: expected a program at {path}, got no such file")
            name = "unclouded.exe" if platform.startswith("windows") else "unclouded"
            programs[f"bin/{platform}/{name}"] = stripped(path, Path(folder) / platform)
        licences = {
            f"bin/{name}": (REPO / name).read_bytes()
            for name in ("LICENSE-MIT", "LICENSE-APACHE")
        }
        write(
            arguments.out / f"{NAME}.zip",
            {**installed, **licences, **programs},
            programs,
        )
    plain = arguments.out / f"{NAME}_repository.zip"
    write(plain, files, ())
    if plain.stat().st_size > REPOSITORY_LIMIT_BYTES:
        sys.exit(f"error: {plain} is above the limit of the plugin repository")
    return 0


def plugin_files(url):
    """Everything but the programs: name in the plugin's folder to bytes."""
    files = {}
    for path in sorted(PLUGIN.rglob("*")):
        inside = path.relative_to(PLUGIN)
        hidden = any(part.startswith((".", "__pycache__")) for part in inside.parts)
        if path.is_file() and not hidden and inside.parts[0] not in ("bin", "sample"):
            files[inside.as_posix()] = path.read_bytes()
    for name in SAMPLE_FILES:
        files[f"sample/{name}"] = (SAMPLE / name).read_bytes()
    if url:
        text = files["metadata.txt"].decode()
        for key, ending in (
            ("homepage", ""),
            ("repository", ""),
            ("tracker", "/issues"),
        ):
            line = f"{key}={url.rstrip('/')}{ending}"
            text = re.sub(rf"^{key}=.*$", line, text, flags=re.MULTILINE)
        files["metadata.txt"] = text.encode()
    return files


def this_platform():
    """The folder the plugin looks into on this machine."""
    file = PLUGIN / "platforms.py"
    spec = importlib.util.spec_from_file_location("platforms", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.platform_folder()


def stripped(path, copy):
    """The program without its debug symbols, where strip knows its format."""
    shutil.copyfile(path, copy)
    if shutil.which("strip"):
        subprocess.run(["strip", copy], check=False, stderr=subprocess.DEVNULL)
    return copy.read_bytes()


def write(path, files, executable):
    """One ZIP with the plugin's folder in it, complete or not there."""
    part = path.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{NAME}/{name}", TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if name in executable else 0o100644) << 16
            archive.writestr(entry, files[name])
    part.replace(path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {len(files)} files")


if __name__ == "__main__":
    sys.exit(main())
