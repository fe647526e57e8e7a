#!/usr/bin/env bash
# What the images' builds run; it works without Docker too.
#
#   infra/build_environment.sh train-gpu|train-cpu|mlflow TARGET   a virtual environment with the locked versions
#   infra/build_environment.sh wheel FOLDER                        gen_dist itself, as a wheel
#
# Packages come from whatever index pip is configured for. torch on Linux brings CUDA unless pip is also shown PyTorch's
# own index of CPU builds: for train-cpu, set PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
set -euo pipefail

usage() { sed -n 's/^#   //p' "$0" >&2; exit 2; }
[ $# -eq 2 ] || usage
what=$1 target=$2
root=$(cd "$(dirname "$0")/.." && pwd)
lock=$root/requirements.lock
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1

requirements() { # of pyproject.toml: those of the package, or of one of its extras
    "$target/bin/python" - "$root/pyproject.toml" "${1-}" <<'PYTHON'
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
print("\n".join(project["optional-dependencies"][sys.argv[2]] if sys.argv[2] else project["dependencies"]))
PYTHON
}

environment() {
    "${PYTHON:-python3}" -m venv "$target"
    "$target/bin/python" -m pip uninstall --quiet --yes setuptools # an old one, of venv's; who needs it gets the locked one
    requirements "${1-}" > "$target/requirements.txt"
    "$target/bin/python" -m pip install --constraint "$lock" --requirement "$target/requirements.txt"
    "$target/bin/python" - "$lock" <<'PYTHON'
import importlib.metadata as metadata, re, sys
locked = dict(line.split("==") for line in open(sys.argv[1]).read().split() if "==" in line)
by_torch = re.compile(r"(nvidia|cuda|triton)(-|$)")  # pinned by torch itself
tools = {"pip"}  # the environment's own; setuptools is locked, and torch's
for found in metadata.distributions():
    name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
    if name not in tools and not by_torch.match(name) and found.version.partition("+")[0] != locked.get(name):
        sys.exit(f"{name} {found.version} is not what requirements.lock says ({locked.get(name)})")
PYTHON
}

case $what in
    train-gpu | train-cpu)
        environment
        cuda=$("$target/bin/python" -c 'import torch; print(torch.version.cuda or "none")')
        if [ "$what" = train-cpu ] && [ "$cuda" != none ]; then
            echo "torch came with CUDA $cuda; for the CPU image set PIP_EXTRA_INDEX_URL (see the top of $0)" >&2
            exit 1
        elif [ "$what" = train-gpu ] && [ "$cuda" = none ]; then
            echo "torch came without CUDA; unset PIP_EXTRA_INDEX_URL" >&2
            exit 1
        fi
        "$target/bin/python" -m pip check
        ;;
    mlflow)
        environment server
        "$target/bin/python" -m pip check
        ;;
    wheel)
        tools=$(mktemp -d)
        trap 'rm -rf "$tools"' EXIT
        "${PYTHON:-python3}" -m venv "$tools"
        "$tools/bin/python" -m pip install --quiet --constraint "$lock" hatchling
        "$tools/bin/python" -m pip wheel --no-deps --no-build-isolation --wheel-dir "$target" "$root"
        ;;
    *) usage ;;
esac
