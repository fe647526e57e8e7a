#!/usr/bin/env python
"""Judge a model: `ray job submit --working-dir . -- python jobs/evaluate.py models:/faces@champion --data s3://bucket/faces`."""

import sys

from gen_dist.commands.entry import run
from gen_dist.commands.evaluate import evaluate

if __name__ == "__main__":
    sys.exit(run(evaluate))
