#!/usr/bin/env python
"""Compare families: `ray job submit --working-dir . -- python jobs/compare.py --data s3://bucket/faces`."""

import sys

from gen_dist.commands.compare import compare
from gen_dist.commands.entry import run

if __name__ == "__main__":
    sys.exit(run(compare))
