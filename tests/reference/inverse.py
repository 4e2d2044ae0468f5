"""Makes data/inverse.safetensors: guidance, summation, RePaint, DDNM, DDRM, PiGDM, DPS, MCG and cold
diffusion, for core/src/diffusion, over a denoiser known in closed form and over the tiny U-Nets of
data/unet.safetensors.

RePaint's moves are those of diffusers' scheduler, the rescaling of guidance is diffusers' too;
the other methods are written down from the papers' equations, with singular values and cosine
transforms of NumPy where the library multiplies by matrices of its own. Everything in f64, with
gradients of PyTorch; noise and measurements are stored.
"""

import json
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import diffusers
import numpy as np
import torch
from diffusers import RePaintScheduler
from diffusers.guiders.guider_utils import rescale_noise_cfg
from safetensors import safe_open
from safetensors.numpy import save_file
from twin import UNet

DATA = Path(__file__).parent.parent / "data"
SHAPE = (2, 3, 8, 8)
STEPS = 12
# Weight, mean and standard deviation of each component of the closed-form prior.
PRIOR = np.array([[0.4, -0.5, 0.25], [0.6, 0.4, 0.3]])
SIGMA_DATA = 0.5
QUIET = 1 / 3


def mixture(x, alpha, sigma):
    """E[x0 | x] of a mixture of two Gaussians, of the mean of a pixel and its left and upper
    neighbours, so that pixels depend on each other."""
    logs, means = [], []
    mixed = (x + x.roll(1, 2) + x.roll(1, 3)) / 3
    for weight, mean, std in PRIOR:
        variance = (alpha * std) ** 2 + sigma**2
        off = mixed - alpha * mean
        logs.append(np.log(weight / variance**0.5) - off**2 / (2 * variance))
        means.append(mean + alpha * std**2 / variance * off)
    share = torch.sigmoid(logs[0] - logs[1])
    return means[1] + (means[0] - means[1]) * share


def network(name):
    """The tiny network of data/unet.safetensors without its conditioning channels, as an EDM that
    speaks at a third of its voice: guided by the gradient of random weights at full voice, a
    difference of 1e-6 grows to 1e-2 in 12 steps, in f64 as well."""
    with safe_open(DATA / "unet.safetensors", "pt") as file:
        config = json.loads(file.metadata()[f"{name}.config"])
        prefix = f"{name}.weights."
        keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
        weights = {key[len(prefix) :]: file.get_tensor(key) for key in keys}
    net = UNet(config)
    net.load_state_dict({key: value.float() for key, value in weights.items()})
    net = net.double().eval()
    extra = torch.zeros(SHAPE[0], config["conditioning_bands"], *SHAPE[2:]).double()

    def denoise(x, alpha, sigma):
        x, sigma = x / alpha, sigma / alpha
        norm = (sigma**2 + SIGMA_DATA**2) ** 0.5
        time = torch.full((len(x),), np.log(sigma) / 4).double()
        out = net(torch.cat([x / norm, extra], 1), time)
        return SIGMA_DATA**2 / norm**2 * x + QUIET * sigma * SIGMA_DATA / norm * out

    return denoise


class Visible:
    def __init__(self, mask):
        self.visible = 1 - torch.from_numpy(mask).double()

    def forward(self, x):
        return x * self.visible

    def adjoint(self, y):
        return y * self.visible


class BlockMean:
    """Means of 4 x 4 pixels."""

    def forward(self, x):
        return torch.nn.functional.avg_pool2d(x, 4)

    def adjoint(self, y):
        return y.repeat_interleave(4, 2).repeat_interleave(4, 3) / 16


class Blur:
    """A Gaussian blur of 1.2 pixels by cosine transforms; what it leaves less than 3 % of is
    not divided by."""

    def __init__(self):
        n = SHAPE[2]
        k = np.arange(n)
        c = np.sqrt(2 / n) * np.cos(np.pi * k[:, None] * (k + 0.5) / n)
        c[0] /= np.sqrt(2)
        kept = np.exp(-((1.2 * np.pi * k / n) ** 2) / 2)
        self.matrix = torch.from_numpy(c.T @ np.diag(kept) @ c)

    def forward(self, x):
        return self.matrix @ x @ self.matrix.T

    adjoint = forward


class Dense:
    """An operator as a matrix over the pixels of one band, with its singular values."""

    def __init__(self, operator):
        n = SHAPE[2] * SHAPE[3]
        images = torch.eye(n).double().reshape(n, 1, *SHAPE[2:])
        a = operator.forward(images)
        self.shape = a.shape[2:]
        self.a = a.reshape(n, -1).T
        u, s, vt = torch.linalg.svd(self.a, full_matrices=True)
        count = len(s)
        s = torch.where(s > 3e-2, s, torch.zeros_like(s))
        self.s = torch.cat([s, torch.zeros(n - count).double()])
        self.u, self.vt = u[:, :count], vt

    def spectrum(self, x):
        return x.flatten(2) @ self.vt.T

    def image(self, spectrum):
        return (spectrum @ self.vt).reshape(*spectrum.shape[:2], *SHAPE[2:])

    def target(self, y):
        """S⁺ Uᵀ y, 0 where S is."""
        out = torch.zeros(*y.shape[:2], len(self.s)).double()
        count = self.u.shape[1]
        out[..., :count] = y.flatten(2) @ self.u
        return torch.where(self.s > 0, out / self.s.clamp(min=1e-9), 0.0)

    def pseudo_inverse(self, y):
        return self.image(self.target(y))

    def solve(self, y, a, b):
        """(a A Aᵀ + b)⁻¹ y over the singular values that count."""
        count = self.u.shape[1]
        s = self.s[:count]
        factor = torch.where(s > 0, 1 / (a * s**2 + b), 0.0)
        flat = ((y.flatten(2) @ self.u) * factor) @ self.u.T
        return flat.reshape(y.shape)


def gradient(f, x):
    x = x.detach().requires_grad_()
    value = f(x)
    return torch.autograd.grad(value, x)[0]


def posterior(now, after):
    """Mean's factors of x and x0, and the variance, of q(x_next | x, x0)."""
    (a, s), (b, t) = now, after
    added = s**2 - (a / b * t) ** 2
    return a / b * t**2 / s**2, b * added / s**2, added * t**2 / s**2


def ddnm(run, y, dense):
    """Wang et al. 2023, eq. 13, in DDIM with eta 0.85."""
    x, states = run.start(), []
    for i, (now, after) in enumerate(pairwise(run.levels)):
        x0 = run.denoise(x, *now)
        x0 = x0 + dense.pseudo_inverse(y) - dense.pseudo_inverse(run.a.forward(x0))
        variance = 0.85**2 * posterior(now, after)[2]
        eps = (x - now[0] * x0) / now[1]
        x = after[0] * x0 + max(after[1] ** 2 - variance, 0) ** 0.5 * eps
        x = x + variance**0.5 * run.noise[i + 1]
        states.append(x)
    return states


def ddnm_plus(run, y, dense):
    """Wang et al. 2023, DDNM+ with a scale for every singular value."""
    x, states, s = run.start(), [], dense.s
    target = dense.target(y)
    for i, (now, after) in enumerate(pairwise(run.levels)):
        x0 = run.denoise(x, *now)
        kept, pull, variance = posterior(now, after)
        std = max(variance, 0) ** 0.5
        scale, room = torch.ones_like(s), torch.full_like(s, variance)
        for k, value in enumerate(s):
            if value > 0:
                brought = pull * run.noise_std / value
                scale[k] = 1.0 if std >= brought else std / brought
                room[k] = max(variance - (brought * scale[k]) ** 2, 0)
        spectrum = dense.spectrum(x0)
        fixed = torch.where(s > 0, spectrum + scale * (target - spectrum), spectrum)
        x = kept * x + pull * dense.image(fixed)
        if after[1] > 0:
            fresh = room.sqrt() * dense.spectrum(run.noise[i + 1])
            x = x + dense.image(fresh)
        states.append(x)
    return states


def ddrm(run, y, dense, eta=0.85, eta_b=1.0):
    """Kawar et al. 2022, eq. 4, 5, 7 and 8 on x / alpha."""
    s, target, states = dense.s, dense.target(y), []
    std = torch.where(s > 0, run.noise_std / s.clamp(min=1e-9), 0.0)
    sigma = run.levels[0][1] / run.levels[0][0]
    x = dense.spectrum(run.noise[0]) * (sigma**2 - std**2).clamp(min=0).sqrt()
    x = x + torch.where(s > 0, target, 0.0)
    for i, (now, after) in enumerate(pairwise(run.levels)):
        x0 = dense.spectrum(run.denoise(dense.image(x) * now[0], *now))
        before, sigma = now[1] / now[0], after[1] / after[0]
        n = dense.spectrum(run.noise[i + 1])
        if sigma == 0:
            n = torch.zeros_like(n)
        calm = (1 - eta**2) ** 0.5 * sigma
        free = x0 + calm * (x - x0) / before + eta * sigma * n
        late = x0 + calm * (target - x0) / std.clamp(min=1e-9) + eta * sigma * n
        room = (sigma**2 - (std * eta_b) ** 2).clamp(min=0).sqrt()
        early = (1 - eta_b) * x0 + eta_b * target + room * n
        x = torch.where(s > 0, torch.where(sigma < std, late, early), free)
        states.append(after[0] * dense.image(x))
    return states


def pigdm(run, y, dense):
    """Song et al. 2023: the guided score in DDIM with eta 0."""
    x, states = run.start(), []
    for now, after in pairwise(run.levels):
        alpha, sigma = now
        width = sigma**2 / (alpha**2 + sigma**2)
        with torch.no_grad():
            x0 = run.denoise(x, *now)
            off = y - run.a.forward(x0)
            v = run.a.adjoint(dense.solve(off, width, run.noise_std**2))
        score = (alpha * x0 - x) / sigma**2
        score = score + gradient(lambda x: (run.denoise(x, *now) * v).sum(), x)  # noqa: B023
        x0 = (x + sigma**2 * score) / alpha
        eps = -sigma * score
        x = after[0] * x0 + after[1] * eps
        states.append(x)
    return states


def descend(run, y, dense, project):
    """Chung et al. 2023 (DPS, algorithm 1) and 2022 (MCG), the step along the norm."""
    x, states = run.start(), []
    for i, (now, after) in enumerate(pairwise(run.levels)):

        def misfit(x):
            off = y - run.a.forward(run.denoise(x, *now))  # noqa: B023
            return off.square().sum((1, 2, 3)).sqrt().sum()

        down = gradient(misfit, x)
        kept, pull, variance = posterior(now, after)
        units = np.hypot(*now) * np.hypot(*after)
        x0 = run.denoise(x, *now)
        x = kept * x + pull * x0 + max(variance, 0) ** 0.5 * run.noise[i + 1]
        x = x - run.scale * units * down
        if project:
            known = after[0] * y + after[1] * run.a.forward(run.noise[i + 1])
            x = x + dense.pseudo_inverse(known - run.a.forward(x))
        states.append(x)
    return states


class Run:
    """What the methods share; levels are (alpha, sigma)."""

    def __init__(self, denoise, levels, noise, a, noise_std, scale):
        self.denoise, self.levels, self.noise = denoise, levels, noise
        self.a, self.noise_std, self.scale = a, noise_std, scale

    def start(self):
        return self.noise[0] * self.levels[0][1]


def vp_levels(count):
    """Every (1000 / count)th level of DDPM's schedule, counted from the last, and clean."""
    bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    times = (np.round(np.arange(1000, 0, -1000 / count)) - 1).astype(int)
    return [(bar[t] ** 0.5, (1 - bar[t]) ** 0.5) for t in times] + [(1.0, 0.0)]


def ve_levels(count, low=0.02, high=20.0):
    i = np.arange(count) / (count - 1)
    sigmas = (high ** (1 / 7) + i * (low ** (1 / 7) - high ** (1 / 7))) ** 7
    return [(1.0, s) for s in sigmas] + [(1.0, 0.0)]


def repaint(denoise, image, mask, noise):
    """diffusers' scheduler over a schedule as long as the run: one noise for every move."""
    scheduler = RePaintScheduler(
        num_train_timesteps=STEPS,
        beta_start=0.02,
        beta_end=0.4,
        eta=1.0,
        clip_sample=False,
    )
    scheduler.set_timesteps(STEPS, jump_length=3, jump_n_sample=3)
    bars = scheduler.alphas_cumprod.double()
    x = noise[0] * (1 - bars[-1]) ** 0.5
    states, last = [], STEPS
    draws = iter(noise[1:])
    module = "diffusers.schedulers.scheduling_repaint.randn_tensor"
    with patch(module, lambda *_, **__: next(draws)):
        for t in scheduler.timesteps.tolist():
            if t < last:
                bar = float(bars[t])
                alpha, sigma = bar**0.5, (1 - bar) ** 0.5
                eps = (x - alpha * denoise(x, alpha, sigma)) / sigma
                visible = 1 - mask
                x = scheduler.step(eps, t, x, image, visible).prev_sample
                states.append(x)
            else:
                x = scheduler.undo_step(x, last)
            last = t
    return states


def summation(denoise, image, mask, noise):
    """The known pixels at every level's noise in place of the state's, in DDIM."""
    x, states = noise[0], []
    for now, after in pairwise(vp_levels(STEPS)):
        known = now[0] * image + now[1] * noise[-1]
        x0 = denoise(mask * x + (1 - mask) * known, *now)
        x0 = mask * x0 + (1 - mask) * image
        x = after[0] * x0 + after[1] * (x - now[0] * x0) / now[1]
        states.append(x)
    return states


def guided(denoise, noise, rescale):
    """Classifier-free guidance towards denoise(x + 0.3), weight 1.5, in DDIM."""
    x, states = noise[0], []
    for now, after in pairwise(vp_levels(STEPS)):
        towards, free = denoise(x + 0.3, *now), denoise(x, *now)
        x0 = 2.5 * towards - 1.5 * free
        if rescale:
            x0 = rescale_noise_cfg(x0, towards, rescale)
        x = after[0] * x0 + after[1] * (x - now[0] * x0) / now[1]
        states.append(x)
    return states


def classifier(denoise, noise):
    """Dhariwal & Nichol 2021, algorithm 2, scale 0.7, for
    log p = -|x - 0.2|² / (2 + 2 sigma)."""
    x, states = noise[0], []
    for (alpha, sigma), after in pairwise(vp_levels(STEPS)):
        eps = (x - alpha * denoise(x, alpha, sigma)) / sigma
        eps = eps - sigma * 0.7 * (0.2 - x) / (1 + sigma)
        x0 = (x - sigma * eps) / alpha
        x = after[0] * x0 + after[1] * eps
        states.append(x)
    return states


def cold(denoise, image, kind):
    """Bansal et al. 2022, algorithm 2; the restorer is a denoiser at alpha 1, sigma 0.1 step."""
    n = SHAPE[2]
    k = np.arange(n)
    c = np.sqrt(2 / n) * np.cos(np.pi * k[:, None] * (k + 0.5) / n)
    c[0] /= np.sqrt(2)

    def degrade(x, step):
        if step == 0:
            return x
        if kind == "blur":
            # Gaussian after Gaussian.
            once = c.T @ np.diag(np.exp(-((0.8 * np.pi * k / n) ** 2) / 2)) @ c
            matrix = torch.from_numpy(np.linalg.matrix_power(once, step))
            return matrix @ x @ matrix.T
        if kind == "mask":
            square = (k - (n - 1) / 2) ** 2
            for i in range(step):
                variance = 1 + 0.1 * i
                hole = np.exp(-(square[:, None] + square) / (2 * variance))
                x = x * torch.from_numpy(1 - hole)
            return x
        small = torch.nn.functional.avg_pool2d(x, 2**step)
        return small.repeat_interleave(2**step, 2).repeat_interleave(2**step, 3)

    x, states = degrade(image, 3), []
    for step in (3, 2, 1):
        x0 = denoise(x, 1.0, 0.1 * step)
        x = x - degrade(x0, step) + degrade(x0, step - 1)
        states.append(x)
    return states


def main() -> None:
    torch.set_grad_enabled(True)
    rng = np.random.default_rng(8)
    noise = rng.standard_normal((64, *SHAPE)).astype(np.float32)
    image = rng.normal(0, 0.5, SHAPE).astype(np.float32)
    mask = (rng.random((SHAPE[0], 1, *SHAPE[2:])) < 0.4).astype(np.float32)
    stored = {"noise": noise, "image": image, "mask": mask, "prior": PRIOR}
    noise, picture = torch.from_numpy(noise).double(), torch.from_numpy(image).double()
    hidden = torch.from_numpy(mask).double()
    operators = {"visible": Visible(mask), "mean": BlockMean(), "blur": Blur()}
    # The visible pixels of every image are their own matrix; the closed form is enough.
    denoisers = {"closed": mixture, "plain": network("plain")}
    denoisers["attention"] = network("stem_attention")
    levels = {"vp": vp_levels(STEPS), "ve": ve_levels(STEPS)}
    runs = {}
    for kind, denoise in denoisers.items():
        for operator, a in operators.items():
            one = Visible(mask[:1]) if operator == "visible" else a
            dense = Dense(one)
            y = one.forward(picture)
            steps = levels["vp"] if operator != "mean" else levels["ve"]
            exact = Run(denoise, steps, noise, one, 0.0, 0.5)
            noisy = Run(denoise, steps, noise, one, 0.2, 0.5)
            y_noisy = y + 0.2 * one.forward(noise[-1])
            runs |= {
                f"{kind}.{operator}.ddnm": ddnm(exact, y, dense),
                f"{kind}.{operator}.ddnm-plus": ddnm_plus(noisy, y_noisy, dense),
                f"{kind}.{operator}.ddrm": ddrm(noisy, y_noisy, dense),
                f"{kind}.{operator}.pigdm": pigdm(noisy, y_noisy, dense),
                f"{kind}.{operator}.dps": descend(noisy, y_noisy, dense, False),
                f"{kind}.{operator}.mcg": descend(exact, y, dense, True),
            }
        runs |= {
            f"{kind}.sum": summation(denoise, picture, hidden, noise),
            f"{kind}.repaint": repaint(denoise, picture, hidden, noise),
            f"{kind}.classifier-free": guided(denoise, noise, 0.0),
            f"{kind}.classifier-free.rescaled": guided(denoise, noise, 0.7),
            f"{kind}.classifier": classifier(denoise, noise),
        }
        for way in ("blur", "mask", "downsample"):
            runs[f"{kind}.cold.{way}"] = cold(denoise, picture, way)
    for name, states in runs.items():
        # Some states of every run: the first, two on the way, the last.
        n = len(states)
        kept = [states[i].detach().numpy() for i in (0, n // 3, 2 * n // 3, n - 1)]
        stored[name] = np.stack(kept).astype(np.float32)
        assert np.isfinite(stored[name]).all(), name
        print(f"{name}: {n} states, largest {abs(stored[name]).max():.2f}")
    versions = {"diffusers": diffusers.__version__, "torch": torch.__version__}
    versions["numpy"] = np.__version__
    save_file(stored, DATA / "inverse.safetensors", metadata=versions)


if __name__ == "__main__":
    main()
