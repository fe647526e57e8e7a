"""Judging a model that was kept: a bundle in a folder or on S3, or a registered version."""

from typing import Literal

import torch
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gen_dist.bundle.bundle import Bundle, load_bundle
from gen_dist.evaluation.class_accuracy import PER_CLASS
from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.tracking.registry import load_registered

REGISTERED = "models:/"
DeviceChoice = Literal["auto", "cpu", "cuda"]

# Figure, its name for people, and which way is better.
FIGURES = (
    ("frechet_distance", "Fréchet distance", "lower"),
    ("kernel_distance", "kernel distance", "lower"),
    ("precision", "precision", "higher"),
    ("recall", "recall", "higher"),
    ("diversity", "diversity", "near 1"),
    ("modes_covered", "modes covered", "higher"),
    ("class_accuracy", "asked class recognised", "higher"),
    ("retrieval", "captions found", "higher"),
    ("l1", "mean absolute error (of 255)", "lower"),
    ("psnr", "PSNR in dB", "higher"),
    ("ssim", "SSIM", "higher"),
    ("bits_per_dimension", "bits per dimension", "lower"),
    ("nats", "nats per image", "lower"),
)

LIKELIHOODS = ("bits_per_dimension", "nats")


def load_model(reference: str) -> Bundle:
    """The model that a folder, an `s3://` prefix or a registry URI ("models:/name@alias") names, on the CPU.

    Raises:
        ValueError: there is none, or it is damaged; the message names it.
    """
    return load_registered(reference) if reference.startswith(REGISTERED) else load_bundle(reference)


def holds_averaged_weights(bundle: Bundle) -> bool:
    """Whether the model was kept as moving averages of its weights, as its players ask for."""
    return any(player.ema_decay is not None for player in bundle.learner.players.values())


def chosen_device(choice: DeviceChoice) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one.

    Raises:
        ValueError: there is no GPU.
    """
    if choice == "cuda" and not torch.cuda.is_available():
        raise ValueError("the device is 'cuda', and torch finds no GPU here: choose 'cpu' or 'auto'")
    if choice == "auto":
        choice = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(choice)


def record_view(record: EvaluationRecord) -> Group:
    """A record for people: the model beside its anchors, then the protocol that gives the figures a meaning."""
    protocol = record.protocol
    shown = {"real": "real images", "gaussian": "Gaussian"}
    if protocol.num_translated:
        shown["untranslated"] = "sources"
    table = Table("figure", "better", "model", *shown.values(), title=f"Against the {protocol.split} split")
    for name, title, better in FIGURES:
        if name not in record.metrics:
            continue
        error = record.metrics.get(f"{name}_error")
        value = f"{record.metrics[name]:.4g}" + ("" if error is None else f" ± {error:.2g}")
        label = f"{title} ({record.likelihood_kind})" if name in LIKELIHOODS else title
        anchors = [record.anchors.get(f"{name}_{source}") for source in shown]
        table.add_row(label, better, value, *("" if anchor is None else f"{anchor:.4g}" for anchor in anchors))
    made = f"{protocol.num_samples} {'translations' if protocol.num_translated else 'samples'}"
    weights = "averaged weights" if protocol.ema else "weights as trained"
    lines = (
        f"{made} ({weights}, seed {protocol.seed}) against {protocol.num_reference} images",
        f"data {protocol.dataset_digest[:8]}, features {protocol.extractor} {protocol.extractor_digest[:8]}",
        *([] if protocol.class_judge_digest is None else [f"classes judged by {protocol.class_judge_digest[:8]}"]),
        *(f"note: {note}" for note in record.notes),
    )
    classes = _class_view(record)
    return Group(table, *([] if classes is None else [classes]), Text("\n".join(lines)))


def _class_view(record: EvaluationRecord) -> Table | None:
    """For each class, how often it is recognised in images that were drawn for it, and in real ones."""
    shares = {name.removeprefix(PER_CLASS): share for name, share in record.metrics.items() if PER_CLASS in name}
    if not shares:
        return None
    table = Table("class", "model", "real images", title="Asked class recognised")
    for name, share in shares.items():
        real = record.anchors.get(f"{PER_CLASS}{name}_real")
        table.add_row(name, f"{share:.3f}", "" if real is None else f"{real:.3f}")
    return table
