"""Distributed training, search and honest evaluation of generative image models on Ray.

import gen_dist

images = gen_dist.load("models:/gen-dist-digits@champion").sample(64, seed=0)  # uint8, (64, 1, 8, 8)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gen_dist.workflows.evaluate import load_model as load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """`load` brings torch and MLflow along, seconds that importing the package alone should not cost."""
    if name == "load":
        return import_module("gen_dist.workflows.evaluate").load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
