"""What the documents tell people to type exists, and the command line would accept it."""

import functools
import inspect
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from repository_files import ROOT, code_spans, documents, relative, shell_lines

from gen_dist.cli import COMMANDS, Command, find
from gen_dist.commands import entry
from gen_dist.config import override
from gen_dist.presets import preset

TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
JOB_COMMANDS = {
    "compare.py": "compare",
    "evaluate.py": "evaluate",
    "import_dataset.py": "import",
    "train.py": "train",
    "tune_gan.py": "tune",
}


def parse_only(function: Callable[..., None]) -> Callable[..., None]:
    """A stand-in with the command's signature: it only checks that the preset and its fields exist."""

    @functools.wraps(function)
    def accept(*arguments: Any, **options: Any) -> None:
        values = inspect.signature(function).bind(*arguments, **options).arguments
        if values.get("preset"):
            override(preset(values["preset"]), values["overrides"])

    return accept


def assert_accepted(words: list[str], where: str) -> None:
    """`words` is a command line of gen-dist without the program's name."""
    if "--help" in words or words == ["--version"]:
        words = words[: words.index("--help")] if "--help" in words else []
        assert not words or find(words), f"{where}: there is no `gen-dist {' '.join(words)}`"
        return
    command = find(words)
    assert command, f"{where}: there is no `gen-dist {' '.join(words[:2])}`"
    try:
        entry.call(parse_only(command.load()), words[len(command.name.split()) :], program=command.name)
    except SystemExit as stopped:
        pytest.fail(f"{where}: `gen-dist {' '.join(words)}` is not accepted (exit code {stopped.code})")


def command_lines() -> list[tuple[str, list[str]]]:
    """Every `gen-dist ...` and `jobs/X.py ...` in a shell block of a document, as arguments of gen-dist."""
    found = []
    for document in documents():
        for line in shell_lines(document.read_text()):
            words = shlex.split(line)
            for index, word in enumerate(words):
                # The program, not a name in another's arguments: at most assignments stand before it.
                if Path(word).name == "gen-dist" and all("=" in before for before in words[:index]):
                    found.append((relative(document), words[index + 1 :]))
                    break
                if word.startswith("jobs/"):
                    job = Path(word).name
                    assert job in JOB_COMMANDS, f"{relative(document)}: {word} is not known here"
                    found.append((relative(document), [*JOB_COMMANDS[job].split(), *words[index + 1 :]]))
                    break
    return found


GROUPS = {command.name.split()[0] for command in COMMANDS if " " in command.name}


@pytest.mark.parametrize(
    ("where", "words"), command_lines(), ids=lambda value: value if isinstance(value, str) else " ".join(value)[:60]
)
def test_a_documented_command_line_is_accepted(where: str, words: list[str]) -> None:
    assert_accepted(words, where)


@pytest.mark.parametrize("document", documents(), ids=relative)
def test_what_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    where = relative(document)
    for phrase in [*code_spans(text), *shell_lines(text)]:
        for target in re.findall(r"^make ([a-z]+)", phrase):
            assert target in TARGETS, f"{where}: there is no `make {target}`"
        for job in re.findall(r"\bjobs/([a-z_]+\.py)", phrase):
            assert (ROOT / "jobs" / job).is_file(), f"{where}: there is no jobs/{job}"
        for words in re.findall(r"^gen-dist ([a-z]+(?: [a-z]+)?)", phrase):
            assert find(words.split()) or words in GROUPS, f"{where}: there is no `gen-dist {words}`"
    for link in LINK.findall(text):
        assert (document.parent / link).exists(), f"{where}: the link to {link} leads nowhere"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_explains_with_an_example(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    function = command.load()
    with pytest.raises(SystemExit) as stopped:
        entry.call(function, ["--help"], program=f"gen-dist {command.name}")
    assert stopped.value.code == 0
    output = capsys.readouterr().out
    assert f"gen-dist {command.name}" in output.split("Example", 1)[-1], "the docstring has no Example: section"
    assert "Raises:" not in output
    for line in entry.description(function).replace("\\\n", " ").splitlines():
        words = line.strip().removeprefix("$ ").split(" # ")[0]
        if words.startswith("gen-dist "):
            assert_accepted(shlex.split(words)[1:], f"the help of gen-dist {command.name}")


def test_the_readme_gives_the_two_commands() -> None:
    lines = shell_lines((ROOT / "README.md").read_text())
    assert {"make tune", "make test"} <= set(lines)
