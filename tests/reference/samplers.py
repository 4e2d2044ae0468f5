"""Makes data/samplers.safetensors: whole trajectories of diffusers' schedulers, of k-diffusion's
samplers and, where neither has a method, of the papers' equations in NumPy, for
core/src/diffusion/sampler.

The denoiser is the posterior mean of a two-component Gaussian mixture, known in closed form at
every noise level, or (runs named .unet) a tiny U-Net with random weights, the twin of
core/src/network/unet. Both are evaluated in f64; prior, weights and noise are stored, draw by draw.
diffusers and k-diffusion are used as they are (the tables of diffusers are f32).

Made with diffusers 0.42.1, k-diffusion 0.1.1.post1, torch 2.15.0 and numpy 2.4.6.
"""

import importlib.metadata
import importlib.util
import json
import sys
import types
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import diffusers
import numpy as np
import torch
from diffusers import (
    CMStochasticIterativeScheduler,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from safetensors.numpy import save_file
from sampler_equations import euler_maruyama, langevin, predictor_ve, predictor_vp
from twin import UNet

SHAPE = (2, 2, 4, 4)
LINEAR = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02}
TRAILING = {"timestep_spacing": "trailing"}
# Weight, mean and standard deviation of each component.
PRIOR = np.array([[0.4, -0.5, 0.25], [0.6, 0.4, 0.3]])
NETWORK = {
    "bands": 2,
    "base_channels": 8,
    "multipliers": [1, 2],
    "blocks_per_level": 1,
    "attention_levels": [1],
    "heads": 2,
}


def k_diffusion_sampling():
    """k_diffusion.sampling without the package's front page, which asks for a whole training
    environment."""
    package = types.ModuleType("k_diffusion")
    spec = importlib.util.find_spec("k_diffusion")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["k_diffusion"] = package
    return importlib.import_module("k_diffusion.sampling")


# Denoisers: (x, alpha, sigma, timestep) -> E[x0 | x] for x = alpha x0 + sigma n.


def mixture(x, alpha, sigma, _=0.0):
    x, alpha, sigma = (np.asarray(v, np.float64) for v in (x, alpha, sigma))
    logs, means = [], []
    for weight, mean, std in PRIOR:
        variance = (alpha * std) ** 2 + sigma**2
        off = x - alpha * mean
        logs.append(np.log(weight) - 0.5 * np.log(variance) - off**2 / (2 * variance))
        means.append(mean + alpha * std**2 / variance * off)
    share = np.exp(logs - np.maximum(*logs))
    return torch.from_numpy((share * means).sum(0) / share.sum(0))


class Network:
    """A network that predicts v on variance-preserving levels, and the residual of EDM with
    sigma_data 0.5 on levels of alpha 1."""

    def __init__(self):
        torch.manual_seed(11)
        self.net = UNet(NETWORK).eval()
        with torch.no_grad():
            for key, p in self.net.named_parameters():
                fan_in = p.numel() // p.shape[-1 if "conv" not in key else 0]
                spread = 0.3 if p.dim() == 1 else (1.0 / fan_in) ** 0.5
                value = torch.randn_like(p) * spread + key.endswith("gamma")
                p.copy_(value.half())  # as stored
        self.weights = {
            f"weights.{key}": value.half().numpy()
            for key, value in self.net.state_dict().items()
        }
        self.net.double()

    @torch.no_grad()
    def __call__(self, x, alpha, sigma, timestep):
        alpha, sigma = float(alpha), float(sigma)
        times = torch.full((x.shape[0],), float(timestep), dtype=torch.float64)
        if alpha < 1:
            return alpha * x - sigma * self.net(x, times)
        norm = sigma**2 + 0.25
        output = self.net(x / norm**0.5, times * 0 + np.log(sigma) / 4)
        return 0.25 / norm * x + sigma * 0.5 / norm**0.5 * output


def noise_in(x, denoised, alpha, sigma):
    return (x - float(alpha) * denoised) / float(sigma)


def patched(module, draws):
    """The noise of a diffusers module taken from `draws`; of no module, nothing patched."""
    if not module:
        return nullcontext()
    target = f"diffusers.schedulers.{module}.randn_tensor"
    return patch(target, lambda *_, **__: next(draws))


# diffusers on the linear schedule. Each returns the states after every step.


def discrete(denoise, scheduler, noise, steps, module="", **arguments):
    """Schedulers that step from one of the schedule's own timesteps to another; their draws
    come from `noise` where they take none as an argument."""
    scheduler.set_timesteps(steps)
    draws = iter(noise[1:])
    x, states = noise[0], []
    with patched(module, draws):
        for i, t in enumerate(scheduler.timesteps):
            bar = float(scheduler.alphas_cumprod[int(t)])
            alpha, sigma = bar**0.5, (1 - bar) ** 0.5
            out = noise_in(x, denoise(x, alpha, sigma, t), alpha, sigma)
            if scheduler.config.get("variance_type") == "learned_range":
                out = torch.cat([out, torch.sin(3 * x)], 1)
            extra = {k: v(i) for k, v in arguments.items()}
            x = scheduler.step(out, t, x, **extra).prev_sample
            states.append(x)
    return states


def ddpm(denoise, noise, steps, variance="fixed_small"):
    scheduler = DDPMScheduler(**LINEAR, clip_sample=False, variance_type=variance)
    return discrete(denoise, scheduler, noise, steps, "scheduling_ddpm")


def ddim(denoise, noise, steps, eta):
    scheduler = DDIMScheduler(**LINEAR, clip_sample=False, set_alpha_to_one=True)
    draws = {"eta": lambda _: eta, "variance_noise": lambda i: noise[i + 1]}
    return discrete(denoise, scheduler, noise, steps, **draws)


def img2img(denoise, noise, steps, strength):
    """The start of diffusers' img2img pipelines, from an image of 0.3, with DDIM."""
    scheduler = DDIMScheduler(**LINEAR, clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(steps)
    first = max(steps - min(int(steps * strength), steps), 0)
    times = scheduler.timesteps[first:]
    x = scheduler.add_noise(torch.full_like(noise[0], 0.3), noise[0], times[:1])
    states = []
    for t in times:
        bar = float(scheduler.alphas_cumprod[int(t)])
        alpha, sigma = bar**0.5, (1 - bar) ** 0.5
        out = noise_in(x, denoise(x, alpha, sigma, t), alpha, sigma)
        x = scheduler.step(out, t, x).prev_sample
        states.append(x)
    return states


def plms(denoise, noise, steps):
    scheduler = PNDMScheduler(**LINEAR, skip_prk_steps=True, set_alpha_to_one=True)
    # The first state is the trial of the first step.
    return discrete(denoise, scheduler, noise, steps)[1:]


def pndm(denoise, noise, steps):
    scheduler = PNDMScheduler(**LINEAR, skip_prk_steps=False, set_alpha_to_one=True)
    states = discrete(denoise, scheduler, noise, steps)
    # The first three steps are of four calls.
    return states[3:12:4] + states[12:]


def lcm(denoise, noise, steps):
    scheduler = LCMScheduler(**LINEAR, beta_schedule="linear", set_alpha_to_one=True)
    states = discrete(denoise, scheduler, noise, steps, "scheduling_lcm")
    return states, scheduler.timesteps.numpy().astype(np.float64)


def by_sigma(denoise, scheduler, noise, steps, **arguments):
    """DPM-Solver and UniPC: x at alpha² + sigma² = 1, levels from the list of sigmas."""
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)  # rounding may give two steps the same timestep
    x, states = noise[0], []
    for i, (t, ratio) in enumerate(
        zip(scheduler.timesteps, scheduler.sigmas, strict=False)
    ):
        alpha = 1 / (1 + float(ratio) ** 2) ** 0.5
        sigma = float(ratio) * alpha
        out = noise_in(x, denoise(x, alpha, sigma, t), alpha, sigma)
        extra = {k: v(i) for k, v in arguments.items()}
        x = scheduler.step(out, t, x, **extra).prev_sample
        states.append(x)
    return states


def dpmpp(denoise, noise, steps, order, **settings):
    settings = {
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
    } | settings
    scheduler = DPMSolverMultistepScheduler(**LINEAR, solver_order=order, **settings)
    draw = {"variance_noise": lambda i: noise[i + 1]}
    # The scheduler rounds the noise to f32, as which it is stored.
    return by_sigma(denoise, scheduler, noise, steps, **draw)


def dpmpp_s(denoise, noise, steps, order):
    scheduler = DPMSolverSinglestepScheduler(
        **LINEAR, solver_order=order, lower_order_final=True, final_sigmas_type="zero"
    )
    # It has no trailing spacing; its own is made for leading out the same sigmas.
    times = np.round(np.arange(1000, 0, -1000 / steps)).astype(int) - 1
    scheduler.set_timesteps(timesteps=times.tolist())
    scheduler.set_timesteps = lambda _: None
    return by_sigma(denoise, scheduler, noise, steps)


def unipc(denoise, noise, steps, order, kind, **settings):
    scheduler = UniPCMultistepScheduler(
        **LINEAR, **TRAILING, solver_order=order, solver_type=kind, **settings
    )
    return by_sigma(denoise, scheduler, noise, steps)


def scaled(denoise, scheduler, noise, steps, module=""):
    """Euler, LMS and Heun, which work on x / alpha; brought back to alpha² + sigma² = 1."""
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    sigmas = scheduler.sigmas.double()
    draws = iter(noise[1:])
    x, states = noise[0] * (1 + sigmas[0] ** 2) ** 0.5, []
    with patched(module, draws):
        for i, t in enumerate(scheduler.timesteps):
            sigma = float(sigmas[scheduler.step_index or 0])
            alpha = 1 / (1 + sigma**2) ** 0.5
            denoised = denoise(x * alpha, alpha, sigma * alpha, t)
            scheduler.is_scale_input_called = True
            x = scheduler.step((x - denoised) / sigma, t, x).prev_sample
            # Every second state of Heun is the trial step; its last step has none.
            last = i + 1 == len(scheduler.timesteps)
            if getattr(scheduler, "state_in_first_order", True) or last:
                states.append(x / (1 + sigmas[i + 1] ** 2) ** 0.5)
    return states


# Variance-exploding levels.


def karras(n, low=0.002, high=80.0, rho=7.0):
    i = np.arange(n) / (n - 1)
    return (high ** (1 / rho) + i * (low ** (1 / rho) - high ** (1 / rho))) ** rho


def edm(denoise, noise, scheduler, steps):
    """diffusers' EDM schedulers over 80 .. 0.002, with its preconditioning."""
    scheduler.set_timesteps(steps)
    sigmas = scheduler.sigmas.double()
    x, states = noise[0] * 80.0, []
    for i, t in enumerate(scheduler.timesteps):
        sigma, data = float(sigmas[i]), scheduler.config.sigma_data
        norm = sigma**2 + data**2
        out = denoise(x, 1.0, sigma, 0.0) - data**2 / norm * x
        scheduler.is_scale_input_called = True
        x = scheduler.step(out / (sigma * data / norm**0.5), t, x).prev_sample
        states.append(x)
    return states


def k_diffusion(denoise, noise, sampler, steps, draws=False, **arguments):
    """A sampler of k-diffusion over 80 .. 0.002."""
    sigmas = torch.from_numpy(np.append(karras(steps), 0.0))
    states, given = [], iter(noise[1:])
    if draws:
        arguments["noise_sampler"] = lambda *_: next(given)
    with patch("torch.randn_like", lambda _: next(given)):
        x = sampler(
            lambda x, sigma: denoise(x, 1.0, float(sigma[0]), 0.0),
            noise[0] * 80.0,
            sigmas,
            callback=lambda state: states.append(state["x"]),
            disable=True,
            **arguments,
        )
    return states, x


def before_steps(states, x):
    """The callback sees x before each step."""
    return [*states[1:], x]


def churned(denoise, noise, sample_heun, steps, churn):
    """k-diffusion's Heun with churn, step by step: its callback sees x after the noise."""
    s_churn, s_tmin, s_tmax, s_noise = churn
    sigmas = np.append(karras(steps), 0.0)
    states, x = [], noise[0] * 80.0
    for i, pair in enumerate(pairwise(sigmas)):
        # One step of the run: the share of churn of a step is s_churn / steps.
        with patch("torch.randn_like", lambda _, i=i: noise[i + 1]):
            x = sample_heun(
                lambda x, sigma: denoise(x, 1.0, float(sigma[0]), 0.0),
                x,
                torch.tensor(pair, dtype=torch.float64),
                disable=True,
                s_churn=s_churn / steps,
                s_tmin=s_tmin,
                s_tmax=s_tmax,
                s_noise=s_noise,
            )
        states.append(x)
    return states


def consistency(denoise, noise, steps):
    """diffusers' scheduler for consistency models, whose preconditioning is undone."""
    scheduler = CMStochasticIterativeScheduler(
        num_train_timesteps=steps, clip_denoised=False
    )
    scheduler.set_timesteps(steps)
    sigmas = scheduler.sigmas.double().numpy()
    assert np.allclose(sigmas[:-1], karras(steps), rtol=1e-5)
    x, states, draws = noise[0] * 80.0, [], iter(noise[1:])
    with patched("scheduling_consistency_models", draws):
        for t, sigma in zip(scheduler.timesteps, sigmas, strict=False):
            c_skip, c_out = scheduler.get_scalings_for_boundary_condition(
                torch.tensor(sigma)
            )
            scheduler.is_scale_input_called = True
            out = denoise(x, 1.0, max(sigma, 0.002), 0.0)
            if float(c_out) < 1e-8:
                # At the least sigma the boundary condition returns x, whatever the network.
                break
            x = scheduler.step((out - c_skip * x) / c_out, t, x).prev_sample
            states.append(x)
    return states


def runs(denoise, noise, sampling):
    """Every run by name. Names start with the sampler's."""
    d, n = denoise, noise

    def k(name, steps, **arguments):
        sampler = getattr(sampling, f"sample_{name}")
        return before_steps(*k_diffusion(d, n, sampler, steps, **arguments))

    sigma_min = {"final_sigmas_type": "sigma_min"}
    karras_spaced = {"use_karras_sigmas": True}
    sde = {"algorithm_type": "sde-dpmsolver++"}
    churn = (40.0, 0.05, 50.0, 1.003)
    result = {
        "ddpm.20": lambda: ddpm(d, n, 20),
        "ddim.20.eta-0": lambda: ddim(d, n, 20, 0.0),
        "ddim.20.eta-0.5": lambda: ddim(d, n, 20, 0.5),
        "ddim.20.eta-1": lambda: ddim(d, n, 20, 1.0),
        "ddim.edm": lambda: edm(d, n, EDMEulerScheduler(), 20),
        "img2img": lambda: img2img(d, n, 20, 0.63),
        "plms.20": lambda: plms(d, n, 20),
        "pndm.20": lambda: pndm(d, n, 20),
        "pndm.10": lambda: pndm(d, n, 10),
        "dpmpp-1s.20": lambda: dpmpp_s(d, n, 20, 1),
        "dpmpp-2s.20": lambda: dpmpp_s(d, n, 20, 2),
        "dpmpp-2s.9": lambda: dpmpp_s(d, n, 9, 2),
        "dpmpp-2m.20": lambda: dpmpp(d, n, 20, 2, **TRAILING),
        "dpmpp-2m.10": lambda: dpmpp(d, n, 10, 2, **TRAILING),
        "dpmpp-2m.20.sigma-min": lambda: dpmpp(d, n, 20, 2, **TRAILING, **sigma_min),
        "dpmpp-2m.10.sigma-min": lambda: dpmpp(d, n, 10, 2, **TRAILING, **sigma_min),
        "dpmpp-2m.edm": lambda: edm(d, n, EDMDPMSolverMultistepScheduler(), 20),
        "dpmpp-2m.k": lambda: k("dpmpp_2m", 20),
        "dpmpp-3m.20": lambda: dpmpp(d, n, 20, 3, **TRAILING),
        "dpmpp-3m.10": lambda: dpmpp(d, n, 10, 3, **TRAILING),
        "dpmpp-2m-sde.20": lambda: dpmpp(d, n, 20, 2, **TRAILING, **sde),
        "dpmpp-2m-sde.k": lambda: k("dpmpp_2m_sde", 20, draws=True),
        "dpmpp-3m-sde.k": lambda: k("dpmpp_3m_sde", 20, draws=True),
        "dpmpp-3m-sde.k.eta-0.5": lambda: k("dpmpp_3m_sde", 20, draws=True, eta=0.5),
        # With bh1 the scheduler's step to the clean image is infinity times zero.
        "unipc-bh1.20": lambda: unipc(d, n, 20, 2, "bh1", **sigma_min),
        "unipc-bh2.20": lambda: unipc(d, n, 20, 2, "bh2"),
        "unipc-bh2.10": lambda: unipc(d, n, 10, 2, "bh2"),
        "unipc-bh1.20.order-3": lambda: unipc(d, n, 20, 3, "bh1", **sigma_min),
        "unipc-bh2.10.order-3": lambda: unipc(d, n, 10, 3, "bh2"),
        "heun.20": lambda: scaled(
            d, HeunDiscreteScheduler(**LINEAR, **TRAILING), n, 20
        ),
        "heun.k": lambda: k("heun", 18),
        "heun-churn.k": lambda: churned(d, n, sampling.sample_heun, 18, churn),
        "euler.20": lambda: scaled(
            d, EulerDiscreteScheduler(**LINEAR, **TRAILING), n, 20
        ),
        "euler.k": lambda: k("euler", 20),
        "euler-ancestral.20": lambda: scaled(
            d,
            EulerAncestralDiscreteScheduler(**LINEAR, **TRAILING),
            n,
            20,
            "scheduling_euler_ancestral_discrete",
        ),
        "euler-ancestral.k": lambda: k("euler_ancestral", 20, draws=True),
        "lms.20": lambda: scaled(d, LMSDiscreteScheduler(**LINEAR, **TRAILING), n, 20),
        "lms.k": lambda: k("lms", 20),
        "consistency.20": lambda: consistency(d, n, 20),
        "reverse-diffusion.vp": lambda: predictor_vp(d, n, 25),
        "reverse-diffusion.ve": lambda: predictor_ve(d, n, 25),
        "probability-flow.vp": lambda: predictor_vp(d, n, 25, flow=True),
        "probability-flow.ve": lambda: predictor_ve(d, n, 25, flow=True),
        "predictor-corrector.vp": lambda: predictor_vp(d, n, 25, correct=True),
        "predictor-corrector.ve": lambda: predictor_ve(d, n, 25, correct=True),
        "annealed-langevin.ve": lambda: langevin(d, n, 20),
    }
    if d is mixture:
        result |= {
            "ddpm.1000": lambda: ddpm(d, n, 1000)[49::50],
            "ddpm.20.learned": lambda: ddpm(d, n, 20, "learned_range"),
            "dpmpp-2m.karras": lambda: dpmpp(d, n, 20, 2, **karras_spaced),
            "dpmpp-3m.karras": lambda: dpmpp(d, n, 20, 3, **karras_spaced),
            "heun.karras": lambda: scaled(
                d, HeunDiscreteScheduler(**LINEAR, **karras_spaced), n, 20
            ),
            "euler-maruyama.vp": lambda: euler_maruyama(d, n, 40, "vp"),
            "euler-maruyama.sub-vp": lambda: euler_maruyama(d, n, 40, "sub-vp"),
            "euler-maruyama.ve": lambda: euler_maruyama(d, n, 40, "ve"),
            "euler-maruyama.vp.flow": lambda: euler_maruyama(d, n, 40, "vp", flow=True),
            "euler-maruyama.sub-vp.flow": lambda: euler_maruyama(
                d, n, 40, "sub-vp", flow=True
            ),
            "euler-maruyama.ve.flow": lambda: euler_maruyama(d, n, 40, "ve", flow=True),
        }
    return result


def thresholds(rng):
    """Static and dynamic thresholding of diffusers, in f64 where the quantile falls between
    values."""
    x = torch.from_numpy(
        rng.standard_normal((3, 2, 4, 5)) * [[[[0.3]]], [[[1]]], [[[3]]]]
    )
    dynamic = DDPMScheduler(
        thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=3.0
    )
    return {
        "threshold.x": x.numpy(),
        "threshold.static": x.clamp(-1, 1).numpy(),
        "threshold.dynamic": dynamic._threshold_sample(x).numpy(),
    }


def main() -> None:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((1001, *SHAPE)).astype(np.float32)
    network = Network()
    stored = {"noise": noise, "prior": PRIOR} | network.weights | thresholds(rng)
    noise = torch.from_numpy(noise).double()
    sampling = k_diffusion_sampling()
    for denoise, ending in [(mixture, ""), (network, ".unet")]:
        for name, run in runs(denoise, noise, sampling).items():
            states = run()
            stored[name + ending] = np.stack([s.numpy() for s in states])
        stored["lcm.4" + ending], times = lcm(denoise, noise, 4)
        stored["lcm.4" + ending] = np.stack(
            [s.numpy() for s in stored["lcm.4" + ending]]
        )
        stored["lcm.timesteps"] = times
    for name, values in stored.items():
        assert np.isfinite(values).all(), name
        if values.dtype == np.float64:
            stored[name] = values.astype(np.float32)
    path = Path(__file__).parent.parent / "data" / "samplers.safetensors"
    versions = {
        "diffusers": diffusers.__version__,
        "k-diffusion": importlib.metadata.version("k-diffusion"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "network": json.dumps(NETWORK),
    }
    save_file(stored, path, metadata=versions)
    print(f"{len(stored)} arrays, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
