#!/usr/bin/env python3
"""Reads a checkpoint the way any safetensors reader does, and prints its model card as JSON.

    python3 check_checkpoint.py MODEL.safetensors

Follows the published format: eight bytes of little-endian header length, a JSON header, then
the tensors without gaps. Uses the safetensors package as well where it is installed. Exit 1
when the file breaks the format or a weight is not finite. Needs numpy.
"""

import json
import sys

import numpy as np

TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "U8": "u1",
}


def main(path):
    with open(path, "rb") as file:
        content = file.read()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    body = content[8 + length :]
    end, weights = 0, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        assert begin == end, f"{name}: a gap or an overlap at byte {begin}"
        tensor = np.frombuffer(body[begin:stop], TYPES[entry["dtype"]])
        assert tensor.size == int(np.prod(entry["shape"])), (
            f"{name}: size and shape disagree"
        )
        assert np.isfinite(tensor.astype(np.float64)).all(), f"{name}: not finite"
        end, weights = stop, weights + tensor.size
    assert end == len(body), f"{len(body) - end} bytes after the last tensor"
    assert all(isinstance(value, str) for value in metadata.values()), (
        "metadata holds text only"
    )
    try:
        from safetensors import safe_open
    except ImportError:
        pass
    else:
        with safe_open(path, framework="numpy") as tensors:
            assert set(tensors.keys()) == set(header), "safetensors sees other tensors"
    print(json.dumps({"tensors": len(header), "values": weights, "metadata": metadata}))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except (AssertionError, KeyError, ValueError) as problem:
        sys.exit(f"{sys.argv[1]}: {problem!r}")
