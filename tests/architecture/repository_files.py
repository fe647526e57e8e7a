"""The repository as a set of files, for tests that read it."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON_FOLDERS = ("gen_dist", "jobs", "benchmarks", "tests")
_FENCE = re.compile(r"^```(?:bash|console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"`([^`\n]+)`")


def tracked_files() -> list[Path]:
    """Every file that git tracks or would add, as paths relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in listing.split("\0") if name and (ROOT / name).is_file()]


def python_files(*folders: str) -> list[Path]:
    """Python files below some folders, as absolute paths."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    """A path as messages name it."""
    return str(path.relative_to(ROOT))


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every module that a syntax tree imports, with its line; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def documents() -> list[Path]:
    """The texts that people read: README, CONTRIBUTING, CHANGELOG and docs/."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def shell_lines(text: str) -> list[str]:
    """The commands in a text's shell blocks, continuation lines joined, comments and outputs left out."""
    lines = []
    for block in _FENCE.findall(text):
        for raw in block.replace("\\\n", " ").splitlines():
            line = raw.removeprefix("$ ").partition(" # ")[0].strip()
            if line and not line.startswith("#"):
                lines.append(line)
    return lines


def code_spans(text: str) -> list[str]:
    """What a text sets in backquotes inside a line."""
    return _CODE_SPAN.findall(_FENCE.sub("", text))
