"""How good a fill with several dates is: real clouds of one date on another, all the others given.

    python3 dates.py PROGRAM SERIES_DIR

SERIES_DIR holds GeoTIFFs of one place with their dates in their names (S2_L1C_2018-06-25.tif), bands in the order of
Sentinel-2, digital numbers of 1/10000. Prints PSNR in the mask, over all bands and over red, green and blue, for the
program and for a ridge regression on the best four dates, which knows the same masks.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from osgeo import gdal
from scipy import ndimage

CASES = [
    ("02-10", "03-07"),
    ("04-26", "01-21"),
    ("06-25", "07-05"),
    ("08-09", "03-07"),
    ("09-28", "02-25"),
    ("11-12", "01-21"),
    ("05-31", "03-07"),
    ("07-30", "02-25"),
]
RIDGE = 1e-3
DATES = 4


def read(path):
    return gdal.Open(str(path)).ReadAsArray()


def psnr(truth, fill, hole, bands):
    truth, fill = (np.clip(image[bands][:, hole], 0, 1) for image in (truth, fill))
    return -10 * np.log10(np.mean((truth - fill) ** 2))


def ridge(inputs, outputs):
    """Prediction for inputs of any pixels, fitted to `[pixels, columns]` both."""
    mean, scale = inputs.mean(0), inputs.std(0) + 1e-9
    x = (inputs - mean) / scale
    gram = x.T @ x / len(x) + RIDGE * np.eye(x.shape[1])
    beta = np.linalg.solve(gram, x.T @ (outputs - outputs.mean(0)) / len(x))
    return lambda other: (other - mean) / scale @ beta + outputs.mean(0)


def smoothed(residual, visible):
    """The residual of the visible ground, carried into the holes at several scales."""
    total, weight = 0.0, 0.0
    for sigma in (2, 4, 8, 16, 32):
        share = 1 / sigma**2
        blur = [
            ndimage.gaussian_filter(r * visible, sigma, mode="constant")
            for r in residual
        ]
        total = total + share * np.stack(blur)
        weight = weight + share * ndimage.gaussian_filter(
            visible.astype(float), sigma, mode="constant"
        )
    return total / np.maximum(weight, 1e-9)


def rival(images, clouds, truth, hole):
    """Ridge regression on the dates that explain the visible ground best."""
    shown = [
        k
        for k in images
        if k != truth and (clouds[k] & hole).sum() <= 0.05 * hole.sum()
    ]
    shown = [k for k in shown if clouds[k].mean() <= 0.5]

    def table(names, where):
        means = [ndimage.uniform_filter(images[k], (1, 5, 5)) for k in names]
        return np.concatenate([images[k] for k in names] + means)[:, where].T

    def error(k):
        seen = ~hole & ~clouds[k]
        x, y = images[k][:, seen].T, images[truth][:, seen].T
        return np.mean((ridge(x, y)(x) - y) ** 2)

    best = sorted(shown, key=error)[:DATES]
    seen = ~hole & ~np.any([clouds[k] for k in best], axis=0)
    predict = ridge(table(best, seen), images[truth][:, seen].T)
    everywhere = np.ones_like(hole)
    fill = predict(table(best, everywhere)).T.reshape(images[truth].shape)
    return fill + smoothed(images[truth] - fill, seen)


def main():
    program, folder = sys.argv[1], Path(sys.argv[2])
    files = {path.stem[-5:]: path for path in sorted(folder.glob("*.tif"))}
    images = {key: read(path).astype(float) / 1e4 for key, path in files.items()}
    with tempfile.TemporaryDirectory() as work:
        masks = {key: f"{work}/{key}.tif" for key in files}
        clouds = {}
        for key, path in files.items():
            subprocess.run(
                [program, "mask", path, "-o", masks[key]],
                check=True,
                capture_output=True,
            )
            clouds[key] = read(masks[key]) > 0
        scores = []
        for truth, cloudy in CASES:
            hole = clouds[cloudy]
            out = f"{work}/out.tif"
            command = [program, "restore", files[truth], "-o", out, "--overwrite"]
            command += ["--mask", masks[cloudy], "--reference", folder]
            subprocess.run(command, check=True, capture_output=True)
            fills = [read(out) / 1e4, rival(images, clouds, truth, hole)]
            pairs = [
                (fill, bands) for fill in fills for bands in (slice(None), slice(1, 4))
            ]
            scores.append(
                [psnr(images[truth], fill, hole, bands) for fill, bands in pairs]
            )
            print(
                truth,
                cloudy,
                f"{hole.mean():.2f}",
                *(f"{score:.2f}" for score in scores[-1]),
            )
    own, own_rgb, ridge_all, ridge_rgb = np.mean(scores, 0)
    print(
        f"mean: unclouded {own:.2f}, RGB {own_rgb:.2f}; ridge {ridge_all:.2f}, RGB {ridge_rgb:.2f}"
    )


if __name__ == "__main__":
    main()
