"""Rules that every source file keeps."""

import ast
import re

import pytest
from repository_files import PYTHON_FOLDERS, ROOT, imports, python_files, relative, tracked_files

MAX_LINES = 300
NAMES_THAT_SAY_NOTHING = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
UNPICKLERS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
CHECKS_WHAT_IT_LOADS = "gen_dist/tracking/upload.py"  # MLflow's loader unpickles and runs what the files call for
PRIVATE_INSTALL = re.compile(
    r"--(?:extra-)?index-url|--find-links|--trusted-host|file:///|https?://[^\s\"'<>)]*/(?:simple|pypi)(?:/|\b)"
)


def test_files_are_short() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in python_files(*PYTHON_FOLDERS)}
    assert not {path: lines for path, lines in lengths.items() if lines > MAX_LINES}


def test_names_say_what_is_inside() -> None:
    offenders = [
        relative(path)
        for path in python_files(*PYTHON_FOLDERS)
        if NAMES_THAT_SAY_NOTHING & {*path.relative_to(ROOT).with_suffix("").parts}
    ]
    assert not offenders


def test_test_modules_have_unique_names() -> None:
    """pytest imports test modules by their file name alone."""
    names = [path.name for path in python_files("tests") if path.name not in {"conftest.py", "__init__.py"}]
    assert not {name for name in names if names.count(name) > 1}


def test_nothing_is_unpickled() -> None:
    """A pickle runs code when it is read; weights are safetensors and everything else is JSON or Parquet."""
    offenders = []
    for path in python_files("gen_dist", "jobs"):
        tree = ast.parse(path.read_text())
        found = [line for name, line in imports(tree) if name.split(".")[0] in UNPICKLERS]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                callee = ast.unparse(node.func)
                allowed = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if (
                    callee in {"torch.load", "torch.save", "pandas.read_pickle"}
                    or callee.endswith("Tuner.restore")
                    or (callee.endswith("pyfunc.load_model") and relative(path) != CHECKS_WHAT_IT_LOADS)
                    or allowed.get("allow_pickle", "False") != "False"
                    or (callee in {"np.load", "numpy.load"} and "allow_pickle" not in allowed)
                ):
                    found.append(node.lineno)
        offenders += [f"{relative(path)}:{line}" for line in found]
    assert not offenders


def test_whoever_catches_everything_says_why() -> None:
    """The linter refuses `except Exception`; an exemption from that needs its reason on the same line."""
    offenders = [
        f"{relative(path)}:{number}"
        for path in python_files("gen_dist", "jobs")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"noqa: BLE001\s*$", line)
    ]
    assert not offenders


def test_no_private_package_source_is_named() -> None:
    """The project installs from whatever index its user has configured, and names none."""
    offenders = []
    for path in tracked_files():
        if path.suffix in {".gz", ".html", ".npz", ".parquet", ".png"} or path.name == "test_sources.py":
            continue
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
            if path.suffix == ".py" and "file:///" in line:
                continue  # a file URI is a way to name a dataset
            if PRIVATE_INSTALL.search(line):
                offenders.append(f"{path}:{number}: {line.strip()}")
    assert not offenders


@pytest.mark.parametrize(
    "text",
    [
        "pip install --index-url https://mirror.example/simple/ torch",
        "--extra-index-url https://x.example/pypi",
        "find-links = file:///opt/wheels",
    ],
)
def test_private_package_sources_are_recognised(text: str) -> None:
    assert PRIVATE_INSTALL.search(text)
