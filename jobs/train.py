#!/usr/bin/env python
"""Train a preset: `ray job submit --working-dir . -- python jobs/train.py dcgan-32 --data s3://bucket/faces`."""

import sys

from gen_dist.commands.entry import run
from gen_dist.commands.train import train

if __name__ == "__main__":
    sys.exit(run(train))
