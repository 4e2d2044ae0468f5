"""Our CPU engine beside PyTorch's, in alternation: `make bench`.

The same weights go into both. First the outputs are compared, then forward passes (batch 1 and 8)
and training steps (batch 16) are timed in pairs, two threads each, and the medians and their ratio
printed; then the largest resident memory of a process that did nothing but one kind of work.
A ratio below 1 means that ours is faster, or smaller.

    python tests/bench/bench.py --peer target/release/examples/bench_peer [--rounds 7] [--json OUT]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "reference"))
import twin

THREADS = 2
TOLERANCE = 1e-4
WORK = [
    ("forward, batch 1", "forward 1", 5),
    ("forward, batch 8", "forward 8", 1),
    ("training step, batch 16", "step 16", 1),
]
THESIS = {
    "bands": 3,
    "conditioning_bands": 4,
    "base_channels": 128,
    "multipliers": [1, 2, 3, 4],
    "blocks_per_level": 2,
    "attention_levels": [2, 3],
    "heads": 1,
    "middle_attention": True,
    "stem": 1,
}


class Peer:
    """A process that answers each line with a line."""

    def __init__(self, command):
        environment = os.environ | {
            "OMP_NUM_THREADS": str(THREADS),
            "RAYON_NUM_THREADS": str(THREADS),
        }
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, line):
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"error: {self.process.args} died of '{line}'")
        return float(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def thesis_checkpoint(bundled, path):
    """The thesis's base-128 network with random weights (none of them zero) as a checkpoint."""
    with safe_open(bundled, "pt") as file:
        card = json.loads(file.metadata()[twin.CARD_KEY])
    card |= {"name": "thesis", "architecture": THESIS, "conditioning": "concat"}
    torch.manual_seed(0)
    net = twin.UNet(THESIS)
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    weights = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(weights, path, metadata={twin.CARD_KEY: json.dumps(card)})


def agreement(peers, channels, folder):
    """Largest difference of the two outputs for one random batch."""
    torch.manual_seed(1)
    source = folder / "in.safetensors"
    save_file(
        {
            "x": torch.randn(2, channels, 64, 64),
            "c_noise": torch.tensor([-0.5, 0.7]),
        },
        source,
    )
    outputs = []
    for i, peer in enumerate(peers):
        target = folder / f"out{i}.safetensors"
        peer.ask(f"check {source} {target}")
        outputs.append(load_file(target)["y"])
    ours, theirs = outputs
    return float((ours - theirs).abs().max()), float(theirs.abs().max())


def pairs(peers, command, repeats, rounds):
    """Seconds of each peer, `rounds` each, in turns; a pause lets spinning threads rest."""
    times = [[], []]
    for turn in range(rounds + 1):
        for peer, seconds in zip(peers, times, strict=True):
            taken = min(peer.ask(command) for _ in range(repeats))
            time.sleep(0.2)
            if turn > 0:
                seconds.append(taken)
    return times


def bench(name, checkpoint, commands, rounds, folder, report):
    with safe_open(checkpoint, "pt") as file:
        shape = json.loads(file.metadata()[twin.CARD_KEY])["architecture"]
    channels = shape["bands"] + shape.get("conditioning_bands", 0)
    with Peer(commands[0]) as ours, Peer(commands[1]) as theirs:
        peers = ours, theirs
        counts = {peer.ask(f"load {checkpoint}") for peer in peers}
        assert len(counts) == 1, f"different networks: {counts}"
        difference, largest = agreement(peers, channels, folder)
        print(
            f"\n{name}: {counts.pop() / 1e6:.2f} million parameters, "
            f"outputs up to {largest:.2f} differ by at most {difference:.1e}"
        )
        if difference > TOLERANCE * max(1.0, largest):
            raise SystemExit(f"error: expected at most {TOLERANCE:.0e}")
        rows = [(label, pairs(peers, c, n, rounds)) for label, c, n in WORK]
    print(f"{'milliseconds, medians':<34}{'ours':>10}{'PyTorch':>10}{'ratio':>8}")
    for label, times in rows:
        ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
        medians = [1e3 * statistics.median(seconds) for seconds in times]
        print(f"{label:<34}{medians[0]:>10.1f}{medians[1]:>10.1f}{ratio:>8.2f}")
        report.append({"network": name, "work": label, "ms": medians, "ratio": ratio})
    print(f"{'MiB resident at most':<34}{'ours':>10}{'PyTorch':>10}{'ratio':>8}")
    for label, command, _ in WORK:
        peaks = []
        for start in commands:
            with Peer(start) as peer:
                peer.ask(f"load {checkpoint}")
                for _ in range(3):
                    peer.ask(command)
                peaks.append(peer.ask("peak") / 1024)
        ratio = peaks[0] / peaks[1]
        print(f"{label:<34}{peaks[0]:>10.0f}{peaks[1]:>10.0f}{ratio:>8.2f}")
        report.append({"network": name, "work": label, "mib": peaks, "ratio": ratio})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True, help="the built example bench_peer")
    parser.add_argument("--rounds", type=int, default=7, help="timed pairs (default 7)")
    parser.add_argument("--only", choices=["bundled", "thesis"], help="one network")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    commands = [[args.peer], [sys.executable, str(HERE / "torch_peer.py")]]
    bundled = REPOSITORY / "core/models/eurosat-rgb.safetensors"
    report = []
    print(f"PyTorch {torch.__version__}, {THREADS} threads each, {args.rounds} pairs")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        thesis = folder / "thesis.safetensors"
        thesis_checkpoint(bundled, thesis)
        networks = [("bundled eurosat-rgb", bundled), ("thesis, base 128", thesis)]
        for name, checkpoint in networks:
            if args.only in (None, name.split()[0].strip(",")):
                bench(name, checkpoint, commands, args.rounds, folder, report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
