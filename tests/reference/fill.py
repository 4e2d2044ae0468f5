"""Makes data/fill.safetensors: what GDAL's FillNodata gives (rasterio 1.4.4, GDAL 3.10.3;
GDAL 3.6.2 gives the same values), for raster/fill.rs."""

from pathlib import Path

import numpy as np
from rasterio.fill import fillnodata
from safetensors.numpy import save_file

HEIGHT, WIDTH, BANDS = 37, 45, 2
DISTANCES_PX = [0, 3, 10, 100]


def main() -> None:
    rng = np.random.default_rng(20)
    image = rng.uniform(0, 10_000, (BANDS, HEIGHT, WIDTH)).astype(np.float32)
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    blobs = (rows - 15) ** 2 + (cols - 30) ** 2 < 150
    blobs |= (abs(rows - 28) < 6) & (cols < 17)
    masks = {
        "blobs": blobs,
        "sparse": rng.random((HEIGHT, WIDTH)) < 0.97,
        "speckle": rng.random((HEIGHT, WIDTH)) < 0.5,
    }
    # Nodata: neither source nor filled. GDAL has one mask for both, so the nodata pixels are
    # put back afterwards.
    valid = (rows + 2 * cols > 25) & ((rows - 20) ** 2 + (cols - 40) ** 2 > 16)
    arrays = {"image": image, "valid": valid.astype(np.uint8)}
    for name, mask in masks.items():
        arrays[f"mask_{name}"] = mask.astype(np.uint8)
        for distance in DISTANCES_PX:
            filled = np.stack(
                [
                    fillnodata(
                        band.copy(),
                        mask=(valid & ~mask).astype(np.uint8),
                        max_search_distance=distance or HEIGHT + WIDTH,
                        smoothing_iterations=0,
                    )
                    for band in image
                ]
            )
            arrays[f"out_{name}_{distance}"] = np.where(valid, filled, image)
    save_file(arrays, Path(__file__).parent.parent / "data" / "fill.safetensors")


if __name__ == "__main__":
    main()
