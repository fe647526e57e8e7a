"""`gen-dist probe`: how much of the classes a model's latents hold."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from gen_dist.serialization import to_json
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import DeviceChoice, chosen_device, load_model
from gen_dist.workflows.probe import ProbeSettings, report_view
from gen_dist.workflows.probe import probe as measure


def probe(
    model: Annotated[str, tyro.conf.Positional],
    *,
    data: str = "digits",
    labels: int = 100,
    seeds: int = 3,
    images: int = 20_000,
    batch_size: int = 32,
    out: Path | None = None,
    device: DeviceChoice = "auto",
) -> None:
    """Train three classifiers on the same few labelled images, and compare their accuracy on the test split.

    A linear probe sees the model's latents and leaves the model as it is; fine-tuning moves the model's encoder and a
    linear classifier together; the third has the same architecture, and starts from scratch. If the model learned
    something of the classes, the first two beat the third while labels are few.

    Examples:
        gen-dist probe runs/NAME/bundle --data digits --labels 100
        gen-dist probe runs/NAME/bundle --data digits --labels 50 --seeds 10 --out probe.json

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias; it must encode.
        data: URI of a labelled dataset (a folder or s3://bucket/prefix), or the built-in digits.
        labels: labelled training images, equally many of each class.
        seeds: independent choices of these images; the standard error is over them.
        images: training images drawn by each classifier, so each labelled one many times.
        batch_size: of these trainings.
        out: file to write the figures to, as JSON.
        device: where to compute.
    """
    console = Console()
    settings = ProbeSettings(num_labels=labels, num_seeds=seeds, images=images, batch_size=batch_size)
    bundle = load_model(model)
    dataset = dataset_of(data, console)
    with console.status("training classifiers") as status:
        report = measure(bundle, dataset, settings, device=chosen_device(device), tell=status.update)
    console.print(report_view(report))
    if out is not None:
        out.write_text(to_json(report, indent=1) + "\n")
        console.print(f"figures: {out}", highlight=False, soft_wrap=True)
