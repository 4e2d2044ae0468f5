"""Makes data/schedules.safetensors: the noise schedules of diffusers in float64, and of the
papers where diffusers has none, for schedule.rs.

diffusers asks for float32 by name; its own code is run here with that name meaning float64.
"""

from pathlib import Path
from unittest.mock import patch

import diffusers
import numpy as np
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from safetensors.numpy import save_file

LENGTHS = [1000, 250, 7]
# diffusers' name, first and last beta
SCHEDULES = {
    "linear": ("linear", 1e-4, 0.02),
    "scaled-linear": ("scaled_linear", 0.00085, 0.012),
    "cosine": ("squaredcos_cap_v2", 1e-4, 0.02),
    "sigmoid-beta": ("sigmoid", 1e-4, 0.02),
}


def sigmoid_alpha_bar(length: int, start=-3.0, end=3.0, tau=1.0) -> np.ndarray:
    """Betas whose alpha-bar is a sigmoid (Jabri et al. 2022, algorithm 3; Chen 2023)."""

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    t = np.arange(length + 1) / length
    high, low = sigmoid(end / tau), sigmoid(start / tau)
    alpha_bar = (high - sigmoid((t * (end - start) + start) / tau)) / (high - low)
    return np.clip(1 - alpha_bar[1:] / alpha_bar[:-1], 0, 0.999)


def karras(n: int, low: float, high: float, rho: float) -> np.ndarray:
    """Karras et al. 2022, eq. 5."""
    i = np.arange(n) / max(n - 1, 1)
    return (high ** (1 / rho) + i * (low ** (1 / rho) - high ** (1 / rho))) ** rho


def sde(kind: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """alpha and sigma over n points of time (Song et al. 2021b, eq. 29)."""
    if kind == "geometric":
        return np.ones(n), np.geomspace(0.01, 50.0, n)
    t = np.linspace(1e-3, 1.0, n)
    alpha = np.exp(-0.25 * t**2 * (20.0 - 0.1) - 0.5 * t * 0.1)
    variance = 1 - np.exp(-0.5 * t**2 * (20.0 - 0.1) - t * 0.1)
    return alpha, variance if kind == "sub-vp-sde" else variance**0.5


def timesteps(length: int, steps: int, spacing: str) -> np.ndarray:
    scheduler = DDPMScheduler(num_train_timesteps=length, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    result = scheduler.timesteps.numpy().astype(np.int32)
    # np.arange over an inexact stride can run one too far, to timestep -1.
    return result[:steps]


def main() -> None:
    arrays = {}
    torch.set_default_dtype(torch.float64)
    for length in LENGTHS:
        for name, (kind, start, end) in SCHEDULES.items():
            with patch.object(torch, "float32", torch.float64):
                scheduler = DDPMScheduler(length, start, end, kind)
            assert scheduler.betas.dtype == torch.float64
            arrays[f"betas.{name}.{length}"] = scheduler.betas.numpy()
            arrays[f"alphas_cumprod.{name}.{length}"] = scheduler.alphas_cumprod.numpy()
            if length != 250:
                rescaled = rescale_zero_terminal_snr(scheduler.betas).numpy()
                arrays[f"zero_snr.{name}.{length}"] = rescaled
        betas = sigmoid_alpha_bar(length)
        arrays[f"betas.sigmoid-alpha-bar.{length}"] = betas
        arrays[f"alphas_cumprod.sigmoid-alpha-bar.{length}"] = np.cumprod(1 - betas)

    for kind in ["geometric", "vp-sde", "sub-vp-sde"]:
        for n in [1000, 10]:
            alpha, sigma = sde(kind, n)
            arrays[f"alpha.{kind}.{n}"], arrays[f"sigma.{kind}.{n}"] = alpha, sigma
    for n in [1, 2, 10, 256]:
        arrays[f"karras.{n}"] = karras(n, 0.002, 80.0, 7.0)
    # Karras sigmas between the ends of a variance-preserving schedule, and their timesteps.
    for name in ["linear", "scaled-linear", "cosine"]:
        kind, start, end = SCHEDULES[name]
        with patch.object(torch, "float32", torch.float64):
            scheduler = DPMSolverMultistepScheduler(
                1000, start, end, kind, use_karras_sigmas=True
            )
        sigmas = ((1 / scheduler.alphas_cumprod.numpy()) - 1) ** 0.5
        chosen = scheduler._convert_to_karras(torch.from_numpy(sigmas[::-1].copy()), 25)
        arrays[f"vp_karras_sigmas.{name}"] = chosen
        arrays[f"vp_karras_timesteps.{name}"] = np.array(
            [scheduler._sigma_to_t(s, np.log(sigmas)) for s in chosen]
        )

    # Every number of steps of T = 100, one after the other; some of T = 1000.
    for spacing in ["leading", "linspace", "trailing"]:
        arrays[f"timesteps.{spacing}.100"] = np.concatenate(
            [timesteps(100, n, spacing) for n in range(1, 101)]
        )
        for n in [3, 7, 10, 30, 50, 333, 1000]:
            arrays[f"timesteps.{spacing}.1000.{n}"] = timesteps(1000, n, spacing)

    # What diffusers makes of them for the samplers' last step.
    heun = HeunDiscreteScheduler(1000, 1e-4, 0.02, timestep_spacing="trailing")
    heun.set_timesteps(20)
    arrays["vp_sigmas.trailing.20"] = np.unique(heun.sigmas.numpy())[::-1].astype(
        np.float64
    )

    path = Path(__file__).parent.parent / "data" / "schedules.safetensors"
    versions = {"diffusers": diffusers.__version__, "torch": torch.__version__}
    save_file(
        {k: np.ascontiguousarray(v) for k, v in arrays.items()},
        path,
        metadata=versions | {"numpy": np.__version__},
    )


if __name__ == "__main__":
    main()
