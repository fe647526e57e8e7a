#!/usr/bin/env python
"""Search what makes a GAN stable: `ray job submit --working-dir . -- python jobs/tune_gan.py --data s3://bucket/digits`."""

import sys

from gen_dist.commands.entry import run
from gen_dist.commands.tune import tune

if __name__ == "__main__":
    sys.exit(run(tune))
