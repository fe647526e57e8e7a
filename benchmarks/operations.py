"""How many operations a round of a GAN asks torch for, beside hand-written PyTorch of the same networks.

Run:
    python benchmarks/operations.py

On a GPU small networks wait for Python to ask for the next kernel, so what counts is how often it asks, not how much.
The count is exact, the same on every machine, and needs no GPU. Views, which start no kernel, are counted apart.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from bare import CPU, BareLoop, Images
from gans import LABELLED, NAMES, SPEC, setting
from loop import TARGET, training_of
from torch.utils._python_dispatch import TorchDispatchMode

VIEWS = {"view", "detach", "t", "expand", "as_strided", "_unsafe_view", "unsqueeze", "squeeze", "slice", "select"}
VIEWS |= {"alias", "permute", "transpose", "split", "split_with_sizes", "unbind"}


class Counted(TorchDispatchMode):
    """Counts what reaches the dispatcher, by name."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.namespace == "aten":
            self.names[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def operations(advance: Callable[[], object]) -> tuple[int, int]:
    """(operations, views) of one round."""
    with Counted() as counted:
        advance()
    views = sum(number for name, number in counted.names.items() if name in VIEWS)
    return counted.names.total() - views, views


def main() -> None:
    torch.set_num_threads(1)
    print("| preset | operations of a round | of a bare loop with the same metrics | ratio | views of both |")
    print("|---|---|---|---|---|")
    for name in NAMES:
        config = setting(name, CPU, "float32")
        images = Images(LABELLED if name.startswith("biggan") else SPEC, CPU)
        training = training_of(config, images, 1)
        bare = BareLoop(config, images, metrics=True)
        bare.advance(1)
        ours, our_views = operations(training.advance)
        its, its_views = operations(partial(bare.advance, 1))
        print(f"| {name} | {ours:,} | {its:,} | {ours / its:.3f} | {our_views:,} and {its_views:,} |")
    print(f"\nThe target is {TARGET}.")


if __name__ == "__main__":
    main()
