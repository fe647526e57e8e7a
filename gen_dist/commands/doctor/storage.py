"""Checks of what is stored: the place that runs are written to, and the dataset."""

import os

from gen_dist.commands.doctor.finding import Finding, Question, error, ok, warning
from gen_dist.data.dataset import open_dataset
from gen_dist.data.errors import DataError, StorageError
from gen_dist.data.storage_trial import ServerTime, try_server, try_storage
from gen_dist.workflows.datasets import is_embedded

SERVER = "the object store"


def check_storage(question: Question) -> Finding:
    """Write, read and delete one small file where runs go; without a place, only ask the server."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    time = ServerTime()
    place = question.storage
    if place is None and question.data is not None and question.data.startswith("s3://"):
        place = question.data
    try:
        if place is not None:
            try_storage(place, time)
            return ok(f"{place}: written, read and deleted")
        if endpoint is None:
            return ok("not asked: name a place with --storage, a folder or s3://bucket/prefix")
        if not try_server(endpoint, time):
            return warning(
                f"{endpoint} answers, but lists no buckets to us: try yours with --storage s3://bucket/prefix"
            )
        return ok(f"{endpoint} answers; try a bucket with --storage s3://bucket/prefix")
    except (StorageError, OSError) as cause:
        return error(str(cause))
    finally:
        question.hear_clock(SERVER, time.date)


def check_dataset(question: Question) -> Finding:
    """Its manifest fits its digest, and its shards are there. They are verified whenever they are read."""
    if question.data is None:
        return ok("not asked: name a dataset with --data")
    if is_embedded(question.data):
        return ok(f"{question.data} is built in")
    try:
        dataset = open_dataset(question.data)
    except (DataError, StorageError, OSError) as cause:
        return error(str(cause))
    rows = ", ".join(f"{dataset.num_images(split):,} {split}" for split in ("train", "validation", "test"))
    if not dataset.num_images("train"):
        return warning(f"{dataset.uri}: digest {dataset.digest[:12]}, without images to train on: import it again")
    return ok(f"{dataset.uri}: digest {dataset.digest[:12]}, {rows}, all shards present")
