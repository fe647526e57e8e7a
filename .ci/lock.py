"""Turn pip's resolution report (standard input) into requirements.lock (standard output). `make lock` runs it."""

import json
import re
import sys

HEADER = """\
# Exact versions of everything that gen_dist is developed and tested with, development tools included.
# `make lock` writes this file from the ranges in pyproject.toml; `make tune` and `make test` install from it.
# It serves Python 3.11, 3.12 and 3.13 on Linux and macOS.
#
# Not listed: on Linux, torch brings its CUDA libraries (nvidia-*, cuda-*, triton), several GB, and pins them exactly
# itself. A machine without a GPU can have torch's CPU build instead: see CONTRIBUTING.md.
"""
PINNED_BY_TORCH = re.compile(r"(nvidia|cuda|triton)(-|$)")

report = json.load(sys.stdin)
versions: dict[str, str] = {}
for item in report["install"]:
    name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
    if name != "gen-dist" and not PINNED_BY_TORCH.match(name):
        versions[name] = item["metadata"]["version"].partition("+")[0]
print(HEADER, *(f"{name}=={versions[name]}" for name in sorted(versions)), sep="\n")
