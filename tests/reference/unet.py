"""Makes data/unet.safetensors: outputs of the PyTorch twin for three tiny networks with random
weights, and the parameter counts of the named presets, for core/src/network/unet."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from twin import UNet

NETWORKS = {
    "plain": {
        "bands": 3,
        "conditioning_bands": 2,
        "base_channels": 4,
        "multipliers": [1, 2, 3],
        "blocks_per_level": 1,
    },
    "stem_attention": {
        "bands": 3,
        "conditioning_bands": 4,
        "base_channels": 8,
        "multipliers": [1, 2],
        "blocks_per_level": 2,
        "attention_levels": [1],
        "heads": 4,
        "middle_attention": True,
        "stem": 2,
    },
    "class": {
        "bands": 1,
        "base_channels": 12,
        "multipliers": [1, 2],
        "blocks_per_level": 1,
        "attention_levels": [0],
        "heads": 1,
        "stem": 4,
        "classes": 5,
    },
}
# The fields of UNetConfig::thesis_clouds(3, 0) and UNetConfig::thesis_generation(3).
PRESETS = {
    "thesis_clouds": {
        "bands": 3,
        "base_channels": 128,
        "multipliers": [1, 2, 3, 4],
        "blocks_per_level": 2,
        "attention_levels": [2, 3],
        "heads": 1,
        "middle_attention": True,
    },
    "thesis_generation": {
        "bands": 3,
        "base_channels": 128,
        "multipliers": [1, 2, 4, 8],
        "blocks_per_level": 1,
    },
}


def main() -> None:
    torch.manual_seed(5)
    arrays, metadata = {}, {"torch": torch.__version__}
    for name, config in NETWORKS.items():
        net = UNet(config).eval()
        with torch.no_grad():
            for key, p in net.named_parameters():
                # Nothing may stay zero or one; activations stay near unit size.
                fan_in = p.numel() // p.shape[-1 if "conv" not in key else 0]
                spread = 0.3 if p.dim() == 1 else (1.5 / fan_in) ** 0.5
                value = torch.randn_like(p) * spread + key.endswith("gamma")
                p.copy_(value.half())  # as stored
        channels = config["bands"] + config.get("conditioning_bands", 0)
        x = torch.randn(2, channels, 16, 24)
        c_noise = (
            torch.tensor([-1.3, 0.6]) if name != "class" else torch.tensor([0.0, 999.0])
        )
        label = torch.tensor([3, 0]) if "classes" in config else None
        with torch.no_grad():
            # In f64: the twin is the truth, not a second rounding.
            y = net.double()(x.double(), c_noise.double(), label).float()
        arrays |= {f"{name}.x": x, f"{name}.c_noise": c_noise, f"{name}.y": y}
        if label is not None:
            arrays[f"{name}.label"] = label.float()
        for key, value in net.state_dict().items():
            arrays[f"{name}.weights.{key}"] = value.half().contiguous()
        metadata[f"{name}.config"] = json.dumps(config)
        print(f"{name}: {net.parameter_count()} parameters, output std {y.std():.2f}")
    with torch.device("meta"):
        for name, config in PRESETS.items():
            metadata[f"{name}.parameters"] = str(UNet(config).parameter_count())
            print(name, metadata[f"{name}.parameters"])
    save_file(
        arrays, Path(__file__).parent.parent / "data" / "unet.safetensors", metadata
    )


if __name__ == "__main__":
    main()
