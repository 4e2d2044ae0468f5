#!/usr/bin/env python3
"""Runs exported denoisers in onnxruntime and compares them with this program's own outputs.

    cargo test --release -p unclouded-tests --test onnx_pairs
    python3 check_onnx.py target/tmp/onnx

The test writes NAME.onnx and, for several sizes, NAME.HxW.safetensors with inputs and outputs.
The files also go through onnx's own checker and shape inference. Exit 1 when an output differs by
more than 1e-4 of the largest value. Needs numpy, onnx, onnxruntime and safetensors.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

TOLERANCE = 1e-4


def check(path: Path) -> float:
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    pairs = sorted(path.parent.glob(f"{path.stem}.*.safetensors"))
    assert pairs, f"{path}: no inputs beside it"
    worst = 0.0
    for pair in pairs:
        arrays = load_file(pair)
        feed = {
            i.name: arrays[i.name].astype(kinds[i.type]) for i in session.get_inputs()
        }
        (denoised,) = session.run(["denoised"], feed)
        expected = arrays["denoised"]
        assert denoised.shape == expected.shape, f"{pair}: {denoised.shape}"
        difference = float(np.abs(denoised - expected).max())
        scale = max(1.0, float(np.abs(expected).max()))
        print(f"{pair.name}: largest difference {difference:.1e} of {scale:.2f}")
        worst = max(worst, difference / scale)
    return worst


def main(folder: Path) -> None:
    files = sorted(folder.glob("*.onnx"))
    if not files:
        sys.exit(f"{folder}: no .onnx files; run the test onnx_pairs first")
    worst = max(check(path) for path in files)
    print(f"{len(files)} files, onnxruntime {onnxruntime.__version__}: {worst:.1e}")
    if not worst < TOLERANCE:  # NaN is not below anything
        sys.exit(f"expected less than {TOLERANCE}, got {worst}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
