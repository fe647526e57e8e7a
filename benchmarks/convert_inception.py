"""Convert the published Inception-v3 weights of the Fréchet Inception Distance to safetensors, once.

    python benchmarks/convert_inception.py pt_inception-2015-12-05-6726825d.pth inception.safetensors

The first file is published by pytorch-fid and, with other names, by torch-fidelity; both were converted from
TensorFlow's archive inception-2015-12-05. The last part of the name is the beginning of its SHA-256, which is checked.
The file is read with `weights_only=True`: nothing in it is executed.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from gen_dist.evaluation.inception import InceptionV3

SHA256_PREFIX = "6726825d"


def main(typed: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("published", type=Path, help="the .pth file")
    parser.add_argument("output", type=Path, help="the safetensors file to write")
    parser.add_argument("--any-file", action="store_true", help="accept a file with another SHA-256")
    arguments = parser.parse_args(typed)
    digest = hashlib.sha256(arguments.published.read_bytes()).hexdigest()
    if not digest.startswith(SHA256_PREFIX) and not arguments.any_file:
        print(f"error: {arguments.published} has SHA-256 {digest}, not {SHA256_PREFIX}...: the download is damaged,")
        print("or it is another file (--any-file accepts it if names and shapes fit)")
        return 2
    published = torch.load(arguments.published, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        network = InceptionV3()
    wanted = {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}
    tensors = {name: tensor.float().contiguous() for name, tensor in published.items() if name in wanted}
    network.load_state_dict(tensors, strict=True, assign=True)  # raises with the names that are missing or misshapen
    save_file(tensors, arguments.output)
    left_out = sorted(set(published) - wanted)
    print(f"wrote {arguments.output}: {len(tensors)} tensors; left out: {', '.join(left_out[:4])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
