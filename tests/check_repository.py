#!/usr/bin/env python3
"""Checks of the repository as a whole: every file small and introduced, no stray paths, the
demo data as described, checkpoints readable, the Python parts compilable.

    python3 tests/check_repository.py
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from osgeo import gdal

gdal.UseExceptions()
REPO = Path(__file__).resolve().parent.parent
SKIPPED = {
    "target",
    "dist",
    ".git",
    "node_modules",
    "pkg",
    "__pycache__",
    ".ruff_cache",
}
MAX_LINES = 500
problems = []


def check(condition, message):
    """Notes a problem unless the condition holds."""
    if not condition:
        problems.append(message)


def files(*suffixes):
    """Files of the repository with one of these suffixes."""
    for path in sorted(REPO.rglob("*")):
        inside = path.relative_to(REPO)
        if (
            path.suffix in suffixes
            and not SKIPPED & set(inside.parts)
            and path.is_file()
        ):
            yield path, inside


def sources():
    """Every source file says what it is for in its first line and stays small."""
    count = 0
    for path, name in files(".rs", ".py", ".js", ".wgsl"):
        lines = path.read_text(encoding="utf-8").splitlines()
        count += 1
        check(
            len(lines) < MAX_LINES,
            f"{name}: {len(lines)} lines, expected under {MAX_LINES}",
        )
        if path.suffix == ".rs":
            check(
                bool(lines) and lines[0].startswith("//!"),
                f"{name}: no introducing //! line",
            )
        if path.suffix == ".py":
            try:
                tree = ast.parse("\n".join(lines))
            except SyntaxError as error:
                check(False, f"{name}: {error}")
                continue
            check(not tree.body or ast.get_docstring(tree), f"{name}: no docstring")
    return f"{count} source files"


def texts():
    """Links inside the repository lead somewhere; no path of one machine."""
    count = 0
    machine = re.compile(r"(?<![\w.])/(?:home|root|work|Users)/\w")
    for path, name in files(".md", ".rs", ".py", ".toml", ".js", ".html"):
        text = path.read_text(encoding="utf-8")
        found = machine.search(text)
        check(
            not found or name.name == "check_repository.py",
            f"{name}: a path of one machine",
        )
        if path.suffix == ".md":
            for link in re.findall(r"\]\(([^)#\s]+)", text):
                if "://" not in link and not link.startswith("mailto:"):
                    check((path.parent / link).exists(), f"{name}: broken link {link}")
                    count += 1
    return f"{count} links"


def demo_data():
    """The bundled scenes are what their description says."""
    folder = REPO / "tests/data/demo"
    names = [f"B{n:02}" for n in range(1, 9)] + ["B8A", "B09", "B10", "B11", "B12"]
    shares = {}
    for date in ("latium_20180705", "punjab_20200604", "punjab_20200823"):
        scene = gdal.Open(str(folder / f"{date}.tif"))
        mask = gdal.Open(str(folder / f"{date}_mask.tif"))
        found = [
            scene.GetRasterBand(i + 1).GetDescription()
            for i in range(scene.RasterCount)
        ]
        check(found == names, f"demo {date}: bands {found}")
        check(
            scene.GetGeoTransform() == mask.GetGeoTransform(), f"demo {date}: mask grid"
        )
        check(scene.GetProjection() == mask.GetProjection(), f"demo {date}: mask CRS")
        shares[date] = np.mean(mask.ReadAsArray() > 0)
    reference = gdal.Open(str(folder / "latium_20181112.tif"))
    cloudy = gdal.Open(str(folder / "latium_20180705.tif"))
    check(
        reference.GetGeoTransform() == cloudy.GetGeoTransform(),
        "demo: two dates' grids",
    )
    season = sorted((folder / "season").glob("*.tif"))
    check(len(season) == 5, f"demo: {len(season)} dates in the season")
    grids = {gdal.Open(str(path)).GetGeoTransform() for path in season}
    check(len(grids) == 1, "demo: the season's grids")
    check(
        0.20 <= shares["punjab_20200604"] <= 0.35,
        f"transplanted mask covers {shares['punjab_20200604']:.0%}",
    )
    return "demo scenes: " + ", ".join(f"{d} {s:.0%} masked" for d, s in shares.items())


def checkpoints():
    """Bundled models open outside of this project and carry a card with a licence."""
    count = 0
    for path, name in files(".safetensors"):
        if "models" not in name.parts:
            continue
        count += 1
        script = REPO / "tests/check_checkpoint.py"
        run = subprocess.run(
            [sys.executable, script, path], check=False, capture_output=True, text=True
        )
        check(run.returncode == 0, f"{name}: {run.stderr.strip()}")
        if run.returncode == 0:
            card = json.dumps(json.loads(run.stdout)["metadata"]).lower()
            check(
                "licence" in card or "license" in card,
                f"{name}: no licence in the card",
            )
        check(path.stat().st_size <= 12_000_000, f"{name}: more than 12 MB")
    return f"{count} bundled checkpoints"


def main():
    for part in (sources, texts, demo_data, checkpoints):
        before = len(problems)
        summary = part()
        print(
            f"{'ok  ' if len(problems) == before else 'FAIL'} {part.__name__}: {summary}"
        )
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
