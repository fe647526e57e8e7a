"""What the tests of faults saw, as the table in docs/reliability.md."""

import re
from pathlib import Path

BEGIN, END = "<!-- faults: written by the tests -->", "<!-- end of faults -->"
HEAD = "| fault | what the user sees | what is lost | measured |\n| --- | --- | --- | --- |\n"
CELL_END = re.compile(r"(?<!\\) \| ")


class FaultsTable:
    """Rows by their fault. The table may be made in parts: a row replaces the one of the same fault, the rest stays."""

    def __init__(self) -> None:
        self._rows: dict[str, str] = {}

    def row(self, fault: str, *, seen: str, lost: str, measured: str) -> None:
        cells = [cell.replace("|", "\\|") for cell in (fault, seen, lost, measured)]
        self._rows[cells[0]] = f"| {' | '.join(cells)} |\n"

    def write(self, path: Path) -> None:
        """Bring up to date what stands between the two marks of a document, or write a new file."""
        text = path.read_text() if path.exists() else f"{BEGIN}\n{END}\n"
        before, mark, rest = text.partition(BEGIN)
        assert mark, f"{path} has no line {BEGIN}"
        table, _, after = rest.partition(END)
        there = [line for line in table.splitlines(keepends=True) if line.startswith("| ")][2:]
        rows = {CELL_END.split(line.removeprefix("| "))[0]: line for line in there} | self._rows
        path.write_text(f"{before}{BEGIN}\n{HEAD}{''.join(rows.values())}{END}{after}")
