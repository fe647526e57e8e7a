#!/usr/bin/env python
"""Make the bucket of BUCKET_URI (s3://name), in an object store that may still be starting.

AWS_ENDPOINT_URL and the keys come from the environment.
"""

import os
import time
from urllib.parse import urlsplit

import boto3
import botocore.exceptions

WAIT_SECONDS = 120.0


def main() -> None:
    """Make it, unless it is there."""
    bucket = urlsplit(os.environ["BUCKET_URI"]).netloc
    client = boto3.client("s3")
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            if bucket in {found["Name"] for found in client.list_buckets()["Buckets"]}:
                print(f"bucket {bucket} is there")
                return
            client.create_bucket(Bucket=bucket)
            print(f"made bucket {bucket}")
            return
        except (botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError) as error:
            if time.monotonic() > deadline:
                raise
            print(f"waiting for the object store: {error}", flush=True)
            time.sleep(2)


if __name__ == "__main__":
    main()
