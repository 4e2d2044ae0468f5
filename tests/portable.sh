#!/usr/bin/env bash
# Does a program run where only glibc and its libgcc_s are installed? tests/portable.sh PROGRAM
#
# A folder with the program, the C library and the demo's files becomes the root; in it the program
# names its models, restores a scene and trains, stops on SIGTERM and goes on.
set -euo pipefail
program="$(realpath "$1")"
cd "$(dirname "$0")/.."

allowed='linux-vdso|ld-linux|libc\.so|libm\.so|libdl\.so|libpthread\.so|librt\.so|libgcc_s\.so'
more="$(ldd "$program" | grep -Ev "$allowed" || true)"
if [ -n "$more" ]; then
    printf 'FAILED: needs more than glibc:\n%s\n' "$more"
    exit 1
fi

root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,data,tmp,dev,proc}
cp "$program" "$root/bin/unclouded"
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
    install -D "$library" "$root$library"
done
cp tests/data/demo/latium_20180705{,_mask}.tif "$root/data/"
# The number at the end says which is learnt from and which validates.
cp tests/data/demo/latium_20181112.tif "$root/data/scene_2.tif"
cp tests/data/demo/punjab_20200604.tif "$root/data/scene_1.tif"
cat >"$root/data/recipe.toml" <<'RECIPE'
[data]
sources = ["scene_1.tif", "scene_2.tif"]
bands = [4, 3, 2]
tile_px = 32
[model]
base_channels = 8
multipliers = [1, 2]
blocks_per_level = 1
heads = 2
attention_levels = []
[train]
steps = 400
batch = 4
validate_tiles = 2
checkpoint_every = 1000
checkpoint_minutes = 0.02
[output]
dir = "run"
name = "tiny"
RECIPE
inside=(unshare --map-root-user --root="$root" --wd=/data)
run() { "${inside[@]}" "$@"; }

say() { printf '== %s\n' "$*"; }

say "models"
run /bin/unclouded info
say "restore"
run /bin/unclouded restore latium_20180705.tif -o clear.tif --mask latium_20180705_mask.tif \
    --mask-values 1,2 --provenance filled.tif --progress none
test -s "$root/data/clear.tif" -a -s "$root/data/filled.tif"

say "train, stopped by SIGTERM"
"${inside[@]}" /bin/unclouded train recipe.toml --device cpu &
training=$!
for _ in $(seq 300); do
    [ ! -e "$root/data/run/state.safetensors" ] || break
    sleep 0.2
done
test -e "$root/data/run/state.safetensors" || { echo "FAILED: nothing was saved by the clock"; exit 1; }
kill -TERM "$training"
status=0
wait "$training" || status=$?
[ "$status" -eq 130 ] || { echo "FAILED: expected exit code 130, got $status"; exit 1; }
say "train, on from there"
run /bin/unclouded train recipe.toml --device cpu --resume
say "the program runs with glibc alone"
