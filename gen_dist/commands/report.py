"""`gen-dist report`: the stability report of a study, written again from its ledger."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from gen_dist.data.storage import Storage, open_storage
from gen_dist.tuning.ledger import STUDY_KEY, open_ledger
from gen_dist.tuning.report.render import render_report, view_of
from gen_dist.workflows.study_page import FIGURES, REPORT


def report(
    study: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="STUDY")],
    *,
    studies: str = "studies",
    out: Path | None = None,
) -> None:
    """Write the stability report of a study: one HTML file to open in a browser, and its figures as PNG files.

    It works for a study that is still running too, with the trials that have ended.

    Examples:
        gen-dist report tune-20261122-1a2b3c
        gen-dist report s3://bucket/studies/faces --out faces-report

    Args:
        study: name of a study, or the folder or s3://bucket/prefix that holds it.
        studies: folder or s3:// prefix that holds the studies, when only a name is given.
        out: local folder to write to; beside the study itself when left out.
    """
    console = Console()
    ledger = open_ledger(_study_folder(study, studies))
    view = view_of(ledger)
    if not view.ended:
        raise ValueError(f"no trial of {ledger.storage.uri} has ended yet: there is nothing to report")
    with console.status("drawing"):
        written = render_report(view)
    place = ledger.storage if out is None else open_storage(out)
    place.write_bytes(REPORT, written.html.encode())
    for name, png in written.figures.items():
        place.write_bytes(f"{FIGURES}/{name}", png)
    for finding in written.findings:
        console.print(f"[bold]{finding.title}.[/] {finding.text}", highlight=False)
    console.print(f"report: {place.uri}/{REPORT}", highlight=False, soft_wrap=True)


def _study_folder(study: str, studies: str) -> Storage:
    """Where the study lies: a URI or a path stands for itself, anything else is a name below `studies`."""
    named = "://" not in study and not (Path(study) / STUDY_KEY).exists() and "/" not in study
    return open_storage(studies).child(study) if named else open_storage(study)
