"""A comparison on Ray: as many runs train at once as the cluster carries, each in a process of its own."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import ray
import torch
from rich.console import Console

from gen_dist.cluster.session import Resources, connect, describe_resources, shortage
from gen_dist.cluster.train import tracker_of
from gen_dist.data.storage import open_storage
from gen_dist.serialization import from_json, to_json
from gen_dist.workflows.compared_run import ComparedRun
from gen_dist.workflows.comparison import Entrant, Entry, open_comparison, unfinished, write_entry
from gen_dist.workflows.comparison_progress import ComparisonProgress

RETRIES = 3  # of a process that died; its run goes on from its newest checkpoint


def compare(uri: str, console: Console, *, resources: Resources) -> list[Entry]:
    """Train and judge all that is left of a comparison.

    Args:
        uri: folder of the comparison.
        console: where to show progress.
        resources: of one run; as many go on at once as the cluster carries.

    Returns:
        The entries of this call. Each is in the comparison's folder too.
    """
    folder = open_storage(uri)
    comparison = open_comparison(folder)
    left = unfinished(folder, comparison)
    if not left:
        return []
    connect(console)
    taken = resources.settled()
    console.print(f"comparison in {folder.uri}, on {describe_resources()}", highlight=False, soft_wrap=True)
    if (waits := shortage(taken, what="a preset's run")) is not None:
        console.print(waits, highlight=False, soft_wrap=True)
    with ComparisonProgress(left, console) as progress:
        return _run_all(uri, left, taken, progress)


def _run_all(uri: str, entrants: Sequence[Entrant], taken: Resources, progress: ComparisonProgress) -> list[Entry]:
    remote = ray.remote(_compared_run).options(num_cpus=taken.cpus, num_gpus=taken.gpus, max_retries=RETRIES)
    waiting = {remote.remote(uri, entrant): entrant for entrant in entrants}
    entries = []
    while waiting:
        ready, _ = ray.wait(list(waiting), num_returns=1)
        entrant = waiting.pop(ready[0])
        try:
            entry = from_json(ray.get(ready[0]), Entry)
        except ray.exceptions.RayError as error:  # its process died more often than it is restarted
            cause = str(error).strip().splitlines()[-1]
            entry = Entry(preset=entrant.preset, seed=entrant.seed, state="failed", error=cause)
            write_entry(open_storage(uri), entry)
        entries.append(entry)
        progress.ended(entry)
    return entries


def _compared_run(uri: str, entrant: Entrant) -> str:
    """What runs in a run's own process. Whatever goes wrong there is a row of the table, and not the end of it."""
    assigned = ray.get_runtime_context().get_assigned_resources()
    torch.set_num_threads(max(1, int(assigned.get("CPU", 1))))
    logging.getLogger("ray").setLevel(logging.WARNING)
    folder = open_storage(uri)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = torch.get_num_threads()
    entry = Entry(preset=entrant.preset, seed=entrant.seed, state="failed", device=str(device), threads=threads)
    try:
        comparison, quiet = open_comparison(folder), Console(quiet=True)
        entry = ComparedRun(folder, comparison, entrant, device=device, tracker_of=tracker_of, console=quiet).run()
    except Exception as error:  # noqa: BLE001 - a run that fails is a result of the comparison
        entry = replace(entry, error=f"{type(error).__name__}: {error}".splitlines()[0])
    write_entry(folder, entry)
    return to_json(entry)
