#!/usr/bin/env python
"""Turn images into a dataset: `ray job submit --working-dir . -- python jobs/import_dataset.py digits s3://bucket/digits`."""

import sys

from gen_dist.commands.entry import run
from gen_dist.commands.import_ import import_dataset

if __name__ == "__main__":
    sys.exit(run(import_dataset))
