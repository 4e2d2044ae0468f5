"""PyTorch's half of `make bench` (bench.py): the same network with the same weights, obeying the
same commands as qgis-plugin/examples/bench_peer.rs, one line in, one line out."""

import os
import resource
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "reference"))
import twin

SIDE = 64


class Peer:
    def __init__(self, path):
        self.net, self.card = twin.load(path)
        self.training = None

    def channels(self):
        a = self.card["architecture"]
        return a["bands"], a.get("conditioning_bands", 0)

    @torch.inference_mode()
    def check(self, source, target):
        arrays = load_file(source)
        y = self.net(arrays["x"], arrays["c_noise"])
        save_file({"y": y}, target)
        return y.numel()

    @torch.inference_mode()
    def forward(self, batch):
        x = torch.randn(batch, sum(self.channels()), SIDE, SIDE)
        c_noise = torch.zeros(batch)
        start = time.perf_counter()
        self.net(x, c_noise)
        return time.perf_counter() - start

    def step(self, batch):
        """Loss, gradients, clip, AdamW and the average of the weights."""
        if self.training is None:
            net = twin.UNet(self.card["architecture"])
            net.load_state_dict(self.net.state_dict())
            parameters = list(net.parameters())
            optimizer = torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.01)
            average = [p.detach().clone() for p in parameters]
            self.training = net, parameters, optimizer, average
        net, parameters, optimizer, average = self.training
        bands, conditioning = self.channels()
        clean, noise = (torch.randn(batch, bands, SIDE, SIDE) for _ in range(2))
        extra = torch.randn(batch, conditioning, SIDE, SIDE)
        sigma = torch.ones(batch, 1, 1, 1)
        start = time.perf_counter()
        x = torch.cat([(clean + sigma * noise) * 0.7, extra], 1)
        predicted = net(x, torch.zeros(batch))[:, :bands]
        loss = (predicted - clean).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        loss.item()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, parameters, 0.001)
        return time.perf_counter() - start


def main():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    peer = None
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "load":
            peer = Peer(rest[0])
            answer = peer.net.parameter_count()
        elif command == "peak":
            answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        elif command == "check":
            answer = peer.check(*rest)
        else:
            answer = getattr(peer, command)(int(rest[0]))
        print(answer, flush=True)


if __name__ == "__main__":
    main()
