"""Makes data/losses.safetensors: terms of the variational bound with learned variance, for
core/src/diffusion/loss/vlb.rs, from the equations of Nichol & Dhariwal 2021 in NumPy."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.stats import norm

TIMESTEPS = [0, 1, 2, 100, 500, 998, 999]
SPACING = 2 / 255


def cosine_betas(n=1000, s=0.008):
    """Eq. 17."""
    f = np.cos((np.arange(n + 1) / n + s) / (1 + s) * np.pi / 2) ** 2
    return np.minimum(1 - f[1:] / f[:-1], 0.999)


def term(x0, estimate, v, t, betas):
    """Bits of one timestep: KL(q(x_{t-1} | x_t, x0) || p), or the likelihood of x0's bin."""
    bars = np.cumprod(1 - betas)
    before = np.append(1.0, bars[:-1])
    posterior = betas * (1 - before) / (1 - bars)  # eq. 10
    lowest = posterior[max(t, 1)]
    share = (v + 1) / 2
    variance = np.exp(share * np.log(betas[t]) + (1 - share) * np.log(lowest))  # eq. 15
    # Eq. 11; the part that depends on x_t is the same in both means.
    gap = before[t] ** 0.5 * betas[t] / (1 - bars[t]) * (x0 - estimate)
    if t == 0:
        std = variance**0.5
        upper, lower = x0 + SPACING / 2, x0 - SPACING / 2
        probability = norm.cdf(upper, estimate, std) - norm.cdf(lower, estimate, std)
        return -np.log2(np.maximum(probability, 1e-12))
    ratio = posterior[t] / variance
    return 0.5 * (ratio + gap**2 / variance - 1 - np.log(ratio)) / np.log(2)


def main() -> None:
    rng = np.random.default_rng(4)
    shape = (len(TIMESTEPS), 2, 3, 4)
    x0 = rng.uniform(-1, 1, shape).astype(np.float32)
    v = rng.uniform(-1, 1, shape).astype(np.float32)
    # Close at the first timesteps, where a far estimate costs all the bits there are.
    error = np.array([0.01, 0.01, 0.02, 0.1, 0.3, 0.5, 0.5]).reshape(-1, 1, 1, 1)
    estimate = (x0 + error * rng.standard_normal(shape)).astype(np.float32)
    betas = cosine_betas()
    items = zip(x0.astype(float), estimate.astype(float), v.astype(float), TIMESTEPS)
    terms = np.stack([term(*item, betas) for item in items])
    arrays = {
        "clean": x0,
        "estimate": estimate,
        "variance": v,
        "terms": terms.astype(np.float32),
        "timesteps": np.array(TIMESTEPS, np.float32),
    }
    path = Path(__file__).parent.parent / "data" / "losses.safetensors"
    save_file(arrays, path, metadata={"numpy": np.__version__})
    print(terms.mean(axis=(1, 2, 3)), terms.max())


if __name__ == "__main__":
    main()
