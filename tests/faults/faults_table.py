"""What the tests of faults saw, as the table in docs/reliability.md."""

from pathlib import Path

BEGIN, END = "<!-- faults: written by the tests -->", "<!-- end of faults -->"
HEAD = "| fault | what the user sees | what is lost | measured |\n| --- | --- | --- | --- |\n"


class FaultsTable:
    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, str]] = []

    def row(self, fault: str, *, seen: str, lost: str, measured: str) -> None:
        self._rows.append((fault, seen, lost, measured))

    def write(self, path: Path) -> None:
        """Replace what stands between the two marks of a document, or write a new file."""
        lines = "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in self._rows)
        text = path.read_text() if path.exists() else f"{BEGIN}\n{END}\n"
        before, mark, rest = text.partition(BEGIN)
        assert mark, f"{path} has no line {BEGIN}"
        after = rest.partition(END)[2]
        path.write_text(f"{before}{BEGIN}\n{HEAD}{lines}{END}{after}")
