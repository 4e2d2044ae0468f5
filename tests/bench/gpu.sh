#!/usr/bin/env bash
# Does a GPU compute what the processor does, and how fast beside PyTorch? Fails where it differs.
#
#   tests/bench/gpu.sh [DEVICE...]     vulkan, vulkan-software (default: vulkan)
#
# Compared are the bundled network with its gradients and a restored scene. BATCH and REPEATS set the
# size of what is timed (128 tiles, 15 times; REPEATS=0 times nothing: a minute on llvmpipe).
# GPU_EXAMPLE names a built core/examples/gpu, for machines that have no Rust. What is added where
# they are set:
#   PYTHON                one that has PyTorch: the same network, weights and tiles on CUDA
#   UNCLOUDED and RECIPE  a program (`make portable`) and a training recipe: a run of it on the
#                         GPU, with its loss curve and how long the network waited for batches
set -uo pipefail
cd "$(dirname "$0")/../.."

[[ $# -gt 0 ]] || set -- vulkan
model="${MODEL:-core/models/eurosat-rgb.safetensors}"
if [[ -z "${GPU_EXAMPLE:-}" ]]; then
    cargo build --release --locked --workspace --example gpu || exit 1
    GPU_EXAMPLE="${CARGO_TARGET_DIR:-target}/release/examples/gpu"
fi

command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
status=0
# One process a device: a driver that crashes takes the others' figures with it otherwise.
for device in "$@"; do
    timeout 240 "$GPU_EXAMPLE" "$model" "$device" || { echo "FAILED: $device"; status=1; }
done
# Where nothing is timed there is nothing to set beside PyTorch, and its PYTHON may lack it.
if [[ -n "${PYTHON:-}" && "${REPEATS:-}" != 0 ]]; then
    "$PYTHON" tests/bench/gpu_peer.py "$model" || status=1
fi
if [[ -n "${UNCLOUDED:-}" && -n "${RECIPE:-}" ]]; then
    "$UNCLOUDED" train "$RECIPE" --device gpu || status=1
    folder="$(dirname "$RECIPE")/$(sed -n 's/^dir *= *"\(.*\)"/\1/p' "$RECIPE")"
    cat "$folder/log.csv" || status=1
fi
exit "$status"
