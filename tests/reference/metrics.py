"""Makes data/metrics.safetensors: scikit-image's PSNR and SSIM, and MAE and SAM by their
definitions in NumPy, for metrics.rs."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

BANDS, HEIGHT, WIDTH = 3, 29, 34


def main() -> None:
    rng = np.random.default_rng(21)
    truth = gaussian_filter(rng.random((BANDS, HEIGHT, WIDTH)), (0, 2, 2))
    truth = (truth - truth.min()) / (truth.max() - truth.min())
    noise = gaussian_filter(rng.standard_normal(truth.shape), (0, 1, 1))
    pred = np.clip(truth + 0.2 * noise, 0, 1)
    mask = gaussian_filter(rng.random((HEIGHT, WIDTH)), 3) > 0.5
    arrays = {"mask": mask.astype(np.uint8)}
    for name, limit in [("unit", 1.0), ("bytes", 255.0)]:
        # Rounded to f32 first, so that both sides see the same numbers.
        t = (limit * truth).astype(np.float32)
        p = (limit * pred).astype(np.float32)
        arrays[f"truth_{name}"], arrays[f"pred_{name}"] = t, p
        t, p = t.astype(np.float64), p.astype(np.float64)
        _, ssim = structural_similarity(
            t,
            p,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=limit,
            channel_axis=0,
            full=True,  # the whole map, borders mirrored
        )
        arrays[f"ssim_{name}"] = ssim.astype(np.float32)
        cosine = (t * p).sum(0) / np.sqrt((t * t).sum(0) * (p * p).sum(0))
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        for part, where in [("full", np.ones_like(mask)), ("masked", mask)]:
            arrays[f"scores_{name}_{part}"] = np.array(
                [
                    peak_signal_noise_ratio(t[:, where], p[:, where], data_range=limit),
                    ssim[:, where].mean(),
                    angle[where].mean(),
                    np.abs(t - p)[:, where].mean(),
                ]
            )
    save_file(arrays, Path(__file__).parent.parent / "data" / "metrics.safetensors")


if __name__ == "__main__":
    main()
