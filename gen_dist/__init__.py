"""Distributed training, search and honest evaluation of generative image models on Ray."""

__version__ = "0.1.0"
