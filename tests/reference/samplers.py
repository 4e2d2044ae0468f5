"""Makes data/samplers.safetensors: whole trajectories of diffusers' schedulers, for sampler.rs.

The denoiser is the posterior mean of a two-component Gaussian mixture prior, known in closed
form at every noise level, so that both sides run the same one; noise and prior are stored.
diffusers is used as it is (its tables are f32); the network is evaluated in f64.
"""

from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import diffusers
import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    HeunDiscreteScheduler,
)
from safetensors.numpy import save_file

SHAPE = (2, 2, 3, 4)
LINEAR = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02}
# Weight, mean and standard deviation of each component.
PRIOR = np.array([[0.4, -0.5, 0.25], [0.6, 0.4, 0.3]])


def denoise(x, alpha, sigma):
    """E[x0 | x] for x = alpha x0 + sigma n."""
    x, alpha, sigma = (np.asarray(v, np.float64) for v in (x, alpha, sigma))
    logs, means = [], []
    for weight, mean, std in PRIOR:
        variance = (alpha * std) ** 2 + sigma**2
        off = x - alpha * mean
        logs.append(np.log(weight) - 0.5 * np.log(variance) - off**2 / (2 * variance))
        means.append(mean + alpha * std**2 / variance * off)
    share = np.exp(logs - np.maximum(*logs))
    return torch.from_numpy((share * means).sum(0) / share.sum(0))


def eps(x, alpha, sigma):
    return (x - float(alpha) * denoise(x, alpha, sigma)) / float(sigma)


def vp(scheduler, t):
    bar = float(scheduler.alphas_cumprod[int(t)])
    return bar**0.5, (1 - bar) ** 0.5


def ddpm(noise):
    scheduler = DDPMScheduler(**LINEAR, clip_sample=False, variance_type="fixed_small")
    scheduler.set_timesteps(1000)
    draws = iter(noise[1:])
    x, states = noise[0], []
    module = "diffusers.schedulers.scheduling_ddpm.randn_tensor"
    with patch(module, lambda *_, **__: next(draws)):
        for t in scheduler.timesteps:
            x = scheduler.step(eps(x, *vp(scheduler, t)), t, x).prev_sample
            states.append(x)
    return states[49::50]


def ddim(noise, eta):
    scheduler = DDIMScheduler(**LINEAR, clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(50)
    x, states = noise[0], []
    for i, t in enumerate(scheduler.timesteps):
        out = eps(x, *vp(scheduler, t))
        x = scheduler.step(out, t, x, eta=eta, variance_noise=noise[i + 1]).prev_sample
        states.append(x)
    return states


def dpmpp(noise, steps, **settings):
    scheduler = DPMSolverMultistepScheduler(
        **LINEAR,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        **settings,
    )
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)  # rounding may give two steps the same timestep
    x, states = noise[0], []
    for t, ratio in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        alpha = 1 / (1 + float(ratio) ** 2) ** 0.5
        x = scheduler.step(eps(x, alpha, float(ratio) * alpha), t, x).prev_sample
        states.append(x)
    return states


def heun(noise, steps, **settings):
    """diffusers works on x / alpha; the states are brought back to alpha² + sigma² = 1."""
    scheduler = HeunDiscreteScheduler(**LINEAR, **settings)
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    sigmas = scheduler.sigmas.double()
    x, states = noise[0] * (1 + sigmas[0] ** 2) ** 0.5, []
    for i, t in enumerate(scheduler.timesteps):
        x = scheduler.step(eps(x, 1.0, evaluated(scheduler)), t, x).prev_sample
        # Every second state is the trial step; the last step has none.
        if scheduler.state_in_first_order or i + 1 == len(scheduler.timesteps):
            states.append(x / (1 + sigmas[i + 1] ** 2) ** 0.5)
    return states


def evaluated(scheduler):
    """The sigma at which Heun's scheduler wants the network now."""
    return float(scheduler.sigmas[scheduler.step_index or 0])


def karras(n, low=0.002, high=80.0, rho=7.0):
    i = np.arange(n) / (n - 1)
    return (high ** (1 / rho) + i * (low ** (1 / rho) - high ** (1 / rho))) ** rho


def edm(noise, scheduler, steps):
    """diffusers' EDM schedulers over 80 .. 0.002, with its preconditioning."""
    scheduler.set_timesteps(steps)
    sigmas = scheduler.sigmas.double()
    x, states = noise[0] * 80.0, []
    for i, t in enumerate(scheduler.timesteps):
        sigma, data = float(sigmas[i]), scheduler.config.sigma_data
        norm = sigma**2 + data**2
        out = (denoise(x, 1.0, sigma) - data**2 / norm * x) / (sigma * data / norm**0.5)
        scheduler.is_scale_input_called = True
        x = scheduler.step(out, t, x).prev_sample
        states.append(x)
    return states


def edm_heun(noise, steps):
    """Karras et al. 2022, algorithm 1, in NumPy."""
    sigmas = np.append(karras(steps), 0.0)
    x, states = noise[0] * 80.0, []
    for now, after in pairwise(sigmas):
        slope = (x - denoise(x, 1.0, now)) / now
        trial = x + (after - now) * slope
        if after > 0:
            slope_after = (trial - denoise(trial, 1.0, after)) / after
            trial = x + (after - now) * (slope + slope_after) / 2
        x = trial
        states.append(x)
    return states


def main() -> None:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((1001, *SHAPE)).astype(np.float32)
    stored = {"noise": noise, "prior": PRIOR}
    noise = torch.from_numpy(noise).double()
    trailing = {"timestep_spacing": "trailing"}
    runs = {
        "ddpm": ddpm(noise),
        "ddim.0": ddim(noise, 0.0),
        "ddim.0.5": ddim(noise, 0.5),
        "ddim.1": ddim(noise, 1.0),
        "ddim.edm": edm(noise, EDMEulerScheduler(), 30),
        "dpmpp-2m.20": dpmpp(noise, 20, **trailing),
        "dpmpp-2m.10": dpmpp(noise, 10, **trailing),
        "dpmpp-2m.20.sigma-min": dpmpp(
            noise, 20, final_sigmas_type="sigma_min", **trailing
        ),
        "dpmpp-2m.10.sigma-min": dpmpp(
            noise, 10, final_sigmas_type="sigma_min", **trailing
        ),
        "dpmpp-2m.karras": dpmpp(noise, 20, use_karras_sigmas=True),
        "dpmpp-2m.edm": edm(noise, EDMDPMSolverMultistepScheduler(), 20),
        "heun": heun(noise, 20, **trailing),
        "heun.karras": heun(noise, 20, use_karras_sigmas=True),
        "heun.edm": edm_heun(noise, 18),
    }
    for name, states in runs.items():
        stored[name] = np.stack([s.double().numpy() for s in states])
        assert np.isfinite(stored[name]).all(), name
    path = Path(__file__).parent.parent / "data" / "samplers.safetensors"
    versions = {"diffusers": diffusers.__version__, "torch": torch.__version__}
    save_file(stored, path, metadata=versions | {"numpy": np.__version__})


if __name__ == "__main__":
    main()
