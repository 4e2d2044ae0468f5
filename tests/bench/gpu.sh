#!/usr/bin/env bash
# Does a GPU compute what the processor does, and how fast beside PyTorch? Fails where it differs.
#
#   tests/bench/gpu.sh [DEVICE...]     vulkan, vulkan-software (default: vulkan)
#
# BATCH and REPEATS set the size of what is timed (128 tiles, 15 times). GPU_EXAMPLE names a built
# core/examples/gpu.rs, for machines that have no Rust; PYTHON one that has PyTorch, or is unset.
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
if [[ -n "${PYTHON:-}" ]]; then
    "$PYTHON" tests/bench/gpu_peer.py "$model" || status=1
fi
exit "$status"
