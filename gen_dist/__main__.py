"""`python -m gen_dist` is `gen-dist`."""

import sys

from gen_dist.cli import main

if __name__ == "__main__":
    sys.exit(main())
