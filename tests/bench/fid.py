"""Do filled tiles look like ground? Fréchet distances in the features of a land-cover classifier.

ImageNet's Inception network knows no fields from above. So the feature extractor is trained here, on the
spot and always alike: a small residual network that tells EuroSAT's ten classes apart, trained on the
tiles that models train on (number % 10 not 0 or 1), its accuracy printed for those it never saw.
The distance is that of Heusel et al. 2017, eq. 6, between the extractor's 64 pooled features of the
true tiles and of the same tiles as each method filled them.

    unclouded evaluate --clear TILES --masks MASKS.npy --seed 1 --save-all OUT
    python tests/bench/fid.py --tiles eurosat-rgb-train.tar.gz --extractor E.pt --images OUT

The extractor is kept in E.pt, so that other methods' tiles meet the same one in seconds.
"""

import argparse
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

FEATURES = 64
REFERENCE = "truth"


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, 2)

    def forward(self, x):
        h = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(h + self.skip(x))


class Classifier(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, 1, 1)
        self.blocks = nn.Sequential(Block(24, 32), Block(32, 48), Block(48, 96))
        self.embed = nn.Linear(96, FEATURES)
        self.head = nn.Linear(FEATURES, classes)

    def features(self, x):
        h = self.blocks(F.relu(self.stem(x)))
        return F.relu(self.embed(h.mean((2, 3))))

    def forward(self, x):
        return self.head(self.features(x))


def to_tensor(image):
    return torch.from_numpy(np.asarray(image.convert("RGB")).copy()).permute(2, 0, 1)


def load_tiles(path):
    """Images [n, 3, 64, 64] uint8, class numbers, and the number in each file's name."""
    images, labels, numbers, classes = [], [], [], {}
    with tarfile.open(path) as tar:
        for member in tar:
            found = re.search(r"([A-Za-z]+)_(\d+)\.(jpg|png)$", member.name)
            if not found:
                continue
            data = tar.extractfile(member).read()
            images.append(to_tensor(Image.open(io.BytesIO(data))))
            labels.append(classes.setdefault(found[1], len(classes)))
            numbers.append(int(found[2]))
    return (
        torch.stack(images),
        torch.tensor(labels),
        torch.tensor(numbers),
        len(classes),
    )


def scaled(images):
    return images.float() / 127.5 - 1


def train(path, epochs):
    images, labels, numbers, classes = load_tiles(path)
    torch.manual_seed(0)
    held_out = numbers % 10 == 1
    chosen = torch.nonzero(numbers % 10 > 1).flatten()
    net = Classifier(classes)
    steps = epochs * (len(chosen) // 128)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for epoch in range(epochs):
        order = chosen[torch.randperm(len(chosen))]
        for rows in order[: len(order) // 128 * 128].split(128):
            x = scaled(images[rows])
            turns, mirror = torch.randint(4, ()).item(), torch.randint(2, ()).item()
            x = torch.rot90(x, turns, (2, 3))
            x = x.flip(3) if mirror else x
            loss = F.cross_entropy(net(x), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}: loss {loss.item():.3f}", flush=True)
    net.eval()
    with torch.inference_mode():
        right = [
            (net(scaled(x)).argmax(1) == y).float()
            for x, y in zip(
                images[held_out].split(256), labels[held_out].split(256), strict=True
            )
        ]
    return net, torch.cat(right).mean().item()


def extractor(tiles, epochs, kept):
    """The classifier and its accuracy: read from `kept` where that exists, else trained and kept there."""
    if kept and kept.exists():
        state = torch.load(kept, weights_only=True)
        net = Classifier(state["net"]["head.weight"].shape[0])
        net.load_state_dict(state["net"])
        return net.eval(), state["accuracy"]
    net, accuracy = train(tiles, epochs)
    if kept:
        torch.save({"net": net.state_dict(), "accuracy": accuracy}, kept)
    return net, accuracy


@torch.inference_mode()
def statistics(net, folder):
    paths = sorted(Path(folder).glob("*.png"))
    images = torch.stack([to_tensor(Image.open(path)) for path in paths])
    features = torch.cat([net.features(scaled(x)) for x in images.split(256)])
    features = features.double().numpy()
    return [p.name for p in paths], features.mean(0), np.cov(features, rowvar=False)


def frechet(one, other):
    """Heusel et al. 2017, eq. 6; the trace of the root through eigenvalues of the product."""
    (mean1, cov1), (mean2, cov2) = one, other
    roots = np.sqrt(np.maximum(np.linalg.eigvals(cov1 @ cov2).real, 0))
    difference = mean1 - mean2
    return float(difference @ difference + np.trace(cov1 + cov2) - 2 * roots.sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", required=True, help="eurosat-rgb-train.tar.gz")
    parser.add_argument("--images", required=True, type=Path, help="saved tiles")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--extractor", type=Path, help="where the extractor is kept")
    args = parser.parse_args()
    net, accuracy = extractor(args.tiles, args.epochs, args.extractor)
    names, *reference = statistics(net, args.images / REFERENCE)
    print(f"extractor: {100 * accuracy:.1f} % of unseen tiles classed correctly")
    print(f"{len(names)} tiles")
    print(f"{'method':<16}{'Fréchet distance':>18}")
    for folder in sorted(p for p in args.images.iterdir() if p.is_dir()):
        if folder.name == REFERENCE:
            continue
        found, *moments = statistics(net, folder)
        if found != names:
            raise SystemExit(f"error: {folder} holds other tiles than {REFERENCE}")
        print(f"{folder.name:<16}{frechet(moments, reference):>18.3f}")


if __name__ == "__main__":
    main()
