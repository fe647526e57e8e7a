"""A command line becomes a call, and an error becomes an exit code."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import tyro

from gen_dist import cli
from gen_dist.commands import entry


def test_options_with_a_dot_are_paths_of_the_configuration() -> None:
    typed = [
        "dcgan-8",
        "--model.latent-dim",
        "64",
        "--data",
        "x",
        "--model.betas",
        "0.0",
        "0.9",
        "--training.fused=false",
    ]
    own, overrides = entry.split_overrides(typed)
    assert own == ["dcgan-8", "--data", "x"]
    assert overrides == {"model.latent_dim": 64, "model.betas": (0.0, 0.9), "training.fused": False}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("-3", -3), ("null", None), ("None", None), ("True", True), ("False", False), ("hinge", "hinge")],
)
def test_values_of_overrides_are_read_as_what_they_look_like(text: str, value: object) -> None:
    _, overrides = entry.split_overrides(["--model.x", text])
    assert overrides == {"model.x": value}
    assert type(overrides["model.x"]) is type(value)


def test_an_override_may_be_json() -> None:
    _, overrides = entry.split_overrides(["--model.optimizer", '{"learning_rate": 0.1}'])
    assert overrides == {"model.optimizer": {"learning_rate": 0.1}}


def test_an_override_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--model\.latent_dim has no value"):
        entry.split_overrides(["--model.latent-dim", "--data", "x"])


def test_a_command_gets_its_overrides_beside_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    got: dict[str, Any] = {}

    def train(preset: tyro.conf.Positional[str], *, data: str, overrides: Mapping[str, Any] | None = None) -> None:
        got.update(preset=preset, data=data, overrides=overrides)

    assert entry.run(train, ["dcgan-8", "--model.latent-dim", "64", "--data", "d"]) == 0
    assert got == {"preset": "dcgan-8", "data": "d", "overrides": {"model.latent_dim": 64}}
    with pytest.raises(SystemExit):
        entry.run(train, ["--help"])
    assert "overrides" not in capsys.readouterr().out


def test_help_keeps_the_example_and_leaves_out_what_is_for_programmers() -> None:
    def command(*, size: int = 3) -> None:
        """Do it.

        Why one would.

        Example:
            gen-dist do --size 3

        Args:
            size: how big.

                More about it.

        Raises:
            ValueError: it is too big.
        """

    assert entry.description(command) == "Do it.\n\nWhy one would.\n\nExample:\n    gen-dist do --size 3"


def test_the_help_of_an_option_flows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    def command(*, size: int = 3) -> None:
        """Do it.

        Args:
            size: how big it
                becomes.
        """

    with pytest.raises(SystemExit):
        entry.run(command, ["--help"])
    assert "how big it becomes." in capsys.readouterr().out


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    "error",
    [
        ValueError("k is 0: it must be at least 1"),
        FileNotFoundError(2, "No such file or directory", "digits"),
        PermissionError(13, "Permission denied", "/root/x"),
        ConnectionRefusedError(111, "Connection refused"),
    ],
)
def test_a_users_error_is_one_line_and_code_2(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(raising(error), []) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"error: {error}\n"


def test_the_traceback_is_shown_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEN_DIST_TRACEBACK", "1")
    with pytest.raises(ValueError, match="k is 0"):
        entry.run(raising(ValueError("k is 0")), [])


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        entry.run(raising(RuntimeError("a bug")), [])


def test_control_c_is_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(raising(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_unknown_option_is_code_2_and_suggests_one(capsys: pytest.CaptureFixture[str]) -> None:
    def command(*, trials: int = 3) -> None:
        del trials

    with pytest.raises(SystemExit) as stopped:
        entry.run(command, ["--trails", "4"])
    assert stopped.value.code == 2
    assert "--trials" in capsys.readouterr().err


def test_an_unknown_subcommand_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trainn"]) == 2
    assert "did you mean `gen-dist train`?" in capsys.readouterr().err
    assert cli.main(["registry", "lst"]) == 2
    assert "did you mean `gen-dist registry list`?" in capsys.readouterr().err
    assert cli.main(["xyzzy"]) == 2
    assert "`gen-dist --help` lists them" in capsys.readouterr().err


def test_help_lists_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    output = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert f"  {command.name} " in output
    assert cli.main(["registry", "--help"]) == 0
    assert "registry promote" in capsys.readouterr().out


def test_help_does_not_wait_for_torch() -> None:
    """What makes the help slow is importing torch, Ray or MLflow; so none of them may be loaded by it."""
    code = "import sys; from gen_dist.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "subcommands:" in done.stdout
    assert not {"torch", "ray", "mlflow", "pyarrow"} & set(done.stderr.split())


def test_a_closed_pipe_ends_in_silence() -> None:
    """`gen-dist --help | head -1` must not end in a traceback: here the reader is gone before the first byte."""
    read, write = os.pipe()
    os.close(read)
    code = "import sys\nfrom gen_dist.commands import entry\nsys.exit(entry.run(lambda: print('x' * 100000), []))"
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
