"""The table of docs/reliability.md can be made in parts."""

from pathlib import Path

from faults_table import FaultsTable


def test_a_row_replaces_its_like_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    first = FaultsTable()
    first.row("a | b", seen="s", lost="l", measured="1")
    first.row("c", seen="s", lost="l", measured="2")
    first.write(path)
    path.write_text(f"before\n{path.read_text()}after\n")
    second = FaultsTable()
    second.row("d", seen="s", lost="l", measured="3")
    second.row("a | b", seen="s | t", lost="l", measured="4")
    second.write(path)
    lines = path.read_text().splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert lines[4:7] == [r"| a \| b | s \| t | l | 4 |", "| c | s | l | 2 |", "| d | s | l | 3 |"]
