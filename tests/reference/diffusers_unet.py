"""Makes data/diffusers_unet.safetensors: outputs of diffusers' UNet2DModel for tiny networks with
random weights, one run of its DDPM pipeline and of every kind of scheduler, and the listing of keys
and shapes its files have; for core/src/network/diffusers and core/src/model/interop/diffusers.

With a folder as argument: loads what this program wrote there with diffusers and compares its
output with that of the network `round_trip` (the check of the way back, run by hand):

    unclouded convert IN OUT && python3 diffusers_unet.py OUT
"""

import json
import sys
from pathlib import Path
from unittest import mock

import torch
from diffusers import (
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    UNet2DModel,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import scheduling_ddpm
from safetensors.torch import load_file, save_file

DATA = Path(__file__).parent.parent / "data"
SMALL = {"sample_size": 16, "norm_num_groups": 4, "layers_per_block": 1}
NETWORKS = {
    # As google/ddpm-cifar10-32 and most of the hub: time shifts, asymmetric padding.
    "ddpm": {
        **SMALL,
        "block_out_channels": [8, 16],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": None,
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "norm_eps": 1e-6,
    },
    # The defaults of the class, and a second layer.
    "default": {
        **SMALL,
        "layers_per_block": 2,
        "block_out_channels": [8, 16, 16],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    },
    # As the consistency models: scale and shift, resampling by residual blocks, classes.
    "scale_shift": {
        **SMALL,
        "block_out_channels": [8, 12],
        "down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "ResnetUpsampleBlock2D"],
        "resnet_time_scale_shift": "scale_shift",
        "attention_head_dim": 4,
        "attn_norm_num_groups": 4,
        "num_class_embeds": 5,
        "in_channels": 4,
        "out_channels": 2,
    },
    "resnet_sampling": {
        **SMALL,
        "block_out_channels": [8, 16],
        "down_block_types": ["AttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "AttnUpBlock2D"],
        "resnet_time_scale_shift": "scale_shift",
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "mid_block_scale_factor": 1.4142135,
        "class_embed_type": "timestep",
        "center_input_sample": True,
    },
    "fourier": {
        **SMALL,
        "block_out_channels": [8],
        "down_block_types": ["DownBlock2D"],
        "up_block_types": ["AttnUpBlock2D"],
        "time_embedding_type": "fourier",
        "add_attention": False,
        "class_embed_type": "identity",
    },
    "learned": {
        **SMALL,
        "block_out_channels": [8, 8],
        "down_block_types": ["DownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D"],
        "time_embedding_type": "learned",
        "num_train_timesteps": 40,
        "time_embedding_dim": 20,
        "mid_block_type": None,
    },
}
PIPELINE = "ddpm"
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "clip_sample": True,
    "timestep_spacing": "leading",
}
STEPS = 8


def randomised(config: dict) -> UNet2DModel:
    """A network in which nothing stayed zero or one, with weights that 16 bits hold."""
    net = UNet2DModel(**config).eval()
    with torch.no_grad():
        for key, p in net.named_parameters():
            fan_in = p.numel() // p.shape[0] if p.dim() > 1 else 1
            spread = 0.3 if p.dim() == 1 else (1.5 / fan_in) ** 0.5
            value = torch.randn_like(p) * spread + ("norm" in key and "weight" in key)
            p.copy_(value.half())
    return net


def labels(config: dict, net: UNet2DModel):
    kind = config.get("class_embed_type")
    if kind == "identity":
        return torch.randn(2, net.time_embedding.linear_2.out_features)
    if kind == "timestep" or "num_class_embeds" in config:
        return torch.tensor([3, 0])
    return None


def outputs() -> tuple[dict, dict]:
    arrays, metadata = {}, {"torch": torch.__version__}
    for name, config in NETWORKS.items():
        net = randomised(config)
        x = torch.randn(2, config.get("in_channels", 3), 16, 8)
        time = {"fourier": [0.02, 9.0], "learned": [0.0, 39.0]}
        t = torch.tensor(time.get(name, [3.0, 999.0]))
        label = labels(config, net)
        arrays |= {f"{name}.x": x, f"{name}.t": t}
        if label is not None:
            arrays[f"{name}.label"] = label.float()
        for key, value in net.state_dict().items():
            arrays[f"{name}.weights.{key}"] = value.half().contiguous()
        # In f64: the reference is the truth, not a second rounding.
        net = net.double()
        for part in [net.time_embedding, net.class_embedding]:
            # Sines and cosines come in f32.
            if hasattr(part, "linear_1"):
                part.register_forward_pre_hook(lambda _, a: (a[0].double(),))
        t = t.long() if name == "learned" else t.double()
        if label is not None and label.is_floating_point():
            label = label.double()
        with torch.no_grad():
            y = net(x.double(), t, label).sample.float()
        arrays[f"{name}.y"] = y.contiguous()
        metadata[f"{name}.config"] = json.dumps(dict(net.config))
        shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
        metadata[f"{name}.shapes"] = json.dumps(shapes)
        print(f"{name}: {net.num_parameters()} parameters, output std {y.std():.2f}")
    return arrays, metadata


def pipeline(arrays: dict, metadata: dict) -> None:
    """One run of DDPMPipeline, with the noise it drew."""
    net = UNet2DModel(**NETWORKS[PIPELINE]).eval()
    prefix = f"{PIPELINE}.weights."
    weights = {k.removeprefix(prefix): v for k, v in arrays.items() if prefix in k}
    net.load_state_dict({k: v.float() for k, v in weights.items()})
    scheduler = DDPMScheduler(**SCHEDULER)
    generator = torch.Generator().manual_seed(3)
    pipe = DDPMPipeline(net, scheduler)
    pipe.set_progress_bar_config(disable=True)
    image = pipe(
        batch_size=2, generator=generator, num_inference_steps=STEPS, output_type="np"
    ).images
    # The same draws once more: the start, then one a step but the last.
    generator = torch.Generator().manual_seed(3)
    shape = (2, 3, 16, 16)
    draws = [torch.randn(shape, generator=generator) for _ in range(STEPS)]
    arrays["pipeline.noise"] = torch.stack(draws)
    arrays["pipeline.image"] = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
    metadata["pipeline.scheduler"] = json.dumps(dict(scheduler.config))
    metadata["pipeline.steps"] = str(STEPS)


V = {"prediction_type": "v_prediction"}
TRAILING = {"timestep_spacing": "trailing"}
SCHEDULERS = {
    # Clipped, it would take the noise of a step from the estimate before it was clipped.
    "ddim": (DDIMScheduler, {"set_alpha_to_one": False, "clip_sample": False}),
    "ddpm": (DDPMScheduler, {"thresholding": True, "variance_type": "fixed_large"}),
    "dpm-solver": (
        DPMSolverMultistepScheduler,
        {"thresholding": True, "sample_max_value": 1.5},
    ),
    "dpm-solver-min": (
        DPMSolverMultistepScheduler,
        {"final_sigmas_type": "sigma_min"},
    ),
    "dpm-solver-zero-snr": (
        DPMSolverMultistepScheduler,
        {"rescale_betas_zero_snr": True, **TRAILING},
    ),
    "dpm-solver-single": (DPMSolverSinglestepScheduler, {"lower_order_final": True}),
    "unipc": (
        UniPCMultistepScheduler,
        {"timestep_spacing": "leading", "solver_order": 3},
    ),
    # With linspace these visit timesteps between those of the schedule.
    "euler": (EulerDiscreteScheduler, TRAILING),
    "heun": (HeunDiscreteScheduler, {"clip_sample": True, **TRAILING}),
    "lms": (LMSDiscreteScheduler, TRAILING),
    # With v it mixes velocities of several timesteps, which the paper does not; where steps are of
    # an odd length it takes two timesteps for midway.
    "pndm": (
        PNDMScheduler,
        {
            "prediction_type": "epsilon",
            "beta_end": 0.002,
            "num_train_timesteps": 800,
        },
    ),
}


def schedulers(arrays: dict, metadata: dict) -> None:
    """The end of a run of every kind of scheduler, with the pipeline's network and noise."""
    net = UNet2DModel(**NETWORKS[PIPELINE]).eval()
    prefix = f"{PIPELINE}.weights."
    weights = {k.removeprefix(prefix): v for k, v in arrays.items() if prefix in k}
    net.load_state_dict({k: v.float() for k, v in weights.items()})
    for name, (kind, settings) in SCHEDULERS.items():
        scheduler = kind(**(V | settings))
        scheduler.set_timesteps(STEPS)
        draws = iter(arrays["pipeline.noise"][1:])
        x = arrays["pipeline.noise"][0] * scheduler.init_noise_sigma
        with mock.patch.object(
            scheduling_ddpm, "randn_tensor", lambda *_, d=draws, **__: next(d)
        ):
            for t in scheduler.timesteps:
                with torch.no_grad():
                    out = net(scheduler.scale_model_input(x, t), t).sample
                x = scheduler.step(out, t, x).prev_sample
        arrays[f"schedulers.{name}"] = x.contiguous()
        config = dict(scheduler.config) | {"_class_name": kind.__name__}
        metadata[f"schedulers.{name}"] = json.dumps(config, default=str)
        print(f"{name}: std {x.std():.2f}")


def check(folder: Path) -> None:
    """Loads a folder we wrote and compares it with the golden outputs of its configuration."""
    net = UNet2DModel.from_pretrained(folder / "unet").eval()
    arrays = load_file(DATA / "diffusers_unet.safetensors")
    for name in NETWORKS:
        prefix = f"{name}.weights."
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if prefix in k}
        state = net.state_dict()
        if set(own) == set(state) and all(own[k].shape == state[k].shape for k in own):
            label = arrays.get(f"{name}.label")
            if label is not None and net.config.class_embed_type != "identity":
                label = label.long()
            with torch.no_grad():
                t = arrays[f"{name}.t"]
                t = t.long() if name == "learned" else t
                y = net(arrays[f"{name}.x"], t, label).sample
            worst = (y - arrays[f"{name}.y"]).abs().max().item()
            print(f"{name}: largest difference {worst:.1e}")
            sys.exit(worst > 1e-4)
    print(f"loads: {net.num_parameters()} parameters; not one of the golden networks")


def main() -> None:
    torch.manual_seed(5)
    arrays, metadata = outputs()
    pipeline(arrays, metadata)
    schedulers(arrays, metadata)
    save_file(arrays, DATA / "diffusers_unet.safetensors", metadata)


if __name__ == "__main__":
    check(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
