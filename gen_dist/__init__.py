"""Distributed training, search and honest evaluation of generative image models on Ray."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(reference: str) -> Any:
    """A trained model (`gen_dist.bundle.bundle.Bundle`) from the registry, a folder or S3, on the CPU.

    It is imported by its name: torch and MLflow take seconds that importing the package alone should not cost.

    Example:
        images = gen_dist.load("models:/gen-dist-digits@champion").sample(64, seed=0)  # uint8, (64, 1, 8, 8)

    Args:
        reference: "models:/name@alias", "models:/name/3", a folder, or an `s3://` prefix.

    Raises:
        ValueError: there is no such model, or it is damaged; the message names it.
    """
    return import_module("gen_dist.workflows.evaluate").load_model(reference)
