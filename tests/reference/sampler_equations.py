"""Samplers that neither diffusers nor k-diffusion has, from the papers' equations in NumPy; used by samplers.py."""

import numpy as np

SNR = 0.16
VP_SDE = (0.1, 20.0)
VE_SDE = (0.01, 50.0)


def linear_levels(steps):
    """alpha-bar of the leading spacing of the linear schedule, noisiest first."""
    bars = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    times = (np.arange(steps) * (1000 // steps))[::-1]
    return times, bars[times]


def geometric(n, low, high):
    return high * (low / high) ** (np.arange(n) / (n - 1))


def score_vp(denoise, x, bar, t):
    alpha, sigma = bar**0.5, (1 - bar) ** 0.5
    denoised = denoise(x, alpha, sigma, t)
    return -(x - alpha * denoised) / sigma**2, denoised


def score_ve(denoise, x, sigma):
    denoised = denoise(x, 1.0, sigma, 0.0)
    return (denoised - x) / sigma**2, denoised


def norms(x):
    return x.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()


def predictor_vp(denoise, noise, steps, flow=False, correct=False):
    """Song et al. 2021b, algorithm 3 (and eq. 46 and 47), beta of the chosen timesteps; the last
    step is the denoising one."""
    times, bars = linear_levels(steps)
    x, states = noise[0], []
    for i, (t, bar) in enumerate(zip(times, bars, strict=True)):
        score, denoised = score_vp(denoise, x, bar, t)
        if i + 1 == steps:
            states.append(denoised)
            break
        beta = 1 - bar / bars[i + 1]
        mean = (2 - (1 - beta) ** 0.5) * x + beta * score * (0.5 if flow else 1.0)
        draw = 2 * i + 1 if correct else i + 1
        x = mean if flow else mean + beta**0.5 * noise[draw]
        if correct:
            below = bars[i + 2] if i + 2 < steps else 1.0
            score, _ = score_vp(denoise, x, bars[i + 1], times[i + 1])
            z = noise[2 * i + 2]
            size = 2 * (bars[i + 1] / below) * (SNR * norms(z) / norms(score)) ** 2
            x = x + size * score + (2 * size) ** 0.5 * z
        states.append(x)
    return states


def predictor_ve(denoise, noise, steps, flow=False, correct=False):
    """Song et al. 2021b, algorithm 2 (and eq. 46 and 47) over geometric sigmas."""
    sigmas = geometric(steps, *VE_SDE)
    x, states = noise[0] * sigmas[0], []
    for i, sigma in enumerate(sigmas):
        score, denoised = score_ve(denoise, x, sigma)
        if i + 1 == steps:
            states.append(denoised)
            break
        variance = sigma**2 - sigmas[i + 1] ** 2
        mean = x + variance * score * (0.5 if flow else 1.0)
        draw = 2 * i + 1 if correct else i + 1
        x = mean if flow else mean + variance**0.5 * noise[draw]
        if correct:
            score, _ = score_ve(denoise, x, sigmas[i + 1])
            z = noise[2 * i + 2]
            size = 2 * (SNR * norms(z) / norms(score)) ** 2
            x = x + size * score + (2 * size) ** 0.5 * z
        states.append(x)
    return states


def langevin_epsilon(low, ratio, repeats):
    """Song & Ermon 2020, technique 4, by brute force, in units of low²."""
    e = np.linspace(0, 1, 1_000_001)[1:-1]
    noise = 2 * e / (1 - (1 - e) ** 2)
    kept = (1 - e) ** (2 * repeats) * (ratio**2 - noise) + noise
    return e[np.argmin(np.abs(kept - 1))] * low**2


def langevin(denoise, noise, steps, repeats=5):
    """Song & Ermon 2020, algorithm 1, with the denoising step."""
    sigmas = geometric(steps, *VE_SDE)
    ratio = (sigmas[0] / sigmas[-1]) ** (1 / (steps - 1))
    epsilon = langevin_epsilon(sigmas[-1], ratio, repeats)
    x, states, draws = noise[0] * sigmas[0], [], iter(noise[1:])
    for sigma in sigmas:
        size = epsilon * sigma**2 / sigmas[-1] ** 2
        for _ in range(repeats):
            score, _ = score_ve(denoise, x, sigma)
            x = x + size * score + (2 * size) ** 0.5 * next(draws)
        states.append(x)
    states[-1] = denoise(x, 1.0, sigmas[-1], 0.0)
    return states


def euler_maruyama(denoise, noise, steps, kind, flow=False):
    """Song et al. 2021b, eq. 6 and 13 with the coefficients of eq. 9, 11 and 12."""
    low, high = VE_SDE if kind == "ve" else VP_SDE
    end = 1e-5 if kind == "ve" else 1e-3

    def level(t):
        if kind == "ve":
            return 1.0, low * (high / low) ** t
        kept = np.exp(-0.5 * t**2 * (high - low) - t * low)  # e^-integral of beta
        return kept**0.5, (1 - kept) if kind == "sub-vp" else (1 - kept) ** 0.5

    def coefficients(t):
        if kind == "ve":
            return 0.0, level(t)[1] * (2 * np.log(high / low)) ** 0.5
        beta = low + t * (high - low)
        integral = 0.5 * t**2 * (high - low) + t * low
        share = 1 - np.exp(-2 * integral) if kind == "sub-vp" else 1.0
        return -0.5 * beta, (beta * share) ** 0.5

    x, states, dt = noise[0] * level(1.0)[1], [], (1 - end) / steps
    for i in range(steps):
        t = 1 - i * dt
        (alpha, sigma), (f, g) = level(t), coefficients(t)
        score = -(x - alpha * denoise(x, alpha, sigma, t)) / sigma**2
        x = x - (f * x - g**2 * score * (0.5 if flow else 1.0)) * dt
        if not flow and i + 1 < steps:
            x = x + g * dt**0.5 * noise[i + 1]
        states.append(x)
    states.append(denoise(x, *level(end), end))
    return states
