"""All benchmarks, one after the other, as one Markdown table.

Run:
    python benchmarks/run.py

Every line that a benchmark prints becomes a row. What goes wrong in one of them is printed and does not stop the
others; the exit code is 1 when one failed or missed a target.
"""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("reader.py", "tracking.py", "loop.py", "trial.py")
TIMEOUT_SECONDS = 1800.0


def row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def rows_of(name: str, printed: str) -> list[str]:
    """One row for every line; what follows the word "target" stands in a column of its own."""
    rows = []
    for line in printed.splitlines():
        figure, _, target = line.partition("   target ")
        if figure.strip():
            rows.append(row(name, figure, target))
    return rows


def run(name: str) -> tuple[str, bool]:
    """What a benchmark printed, and whether it went well."""
    command = [sys.executable, str(Path(__file__).with_name(name))]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        print(f"{name} took longer than {TIMEOUT_SECONDS:.0f} s", file=sys.stderr)
        return "", False
    if answer.returncode:
        print(answer.stderr, file=sys.stderr)
    return answer.stdout, answer.returncode == 0


def main() -> int:
    print(row("benchmark", "figure", "target"))
    print(row("---", "---", "---"))
    well = True
    for name in BENCHMARKS:
        printed, succeeded = run(name)
        print("\n".join(rows_of(name, printed) or [row(name, "nothing: see the error above", "")]), flush=True)
        well = well and succeeded and "MISSED" not in printed
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
