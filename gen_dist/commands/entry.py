"""How a command meets a terminal: its function becomes a command line, its errors become exit codes."""

import functools
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

import tyro

USER_ERROR = 2
INTERRUPTED = 130
TRACEBACK_VARIABLE = "GEN_DIST_TRACEBACK"

_SECTION_FOR_CODE = re.compile(r"^(?:Args|Attributes|Raises|Returns):\n(?:[ \t]+.*\n?|\n)*", re.MULTILINE)
_CONTINUATION = re.compile(r"\n {8,}(?=\S)")
OVERRIDES = "overrides"
_PYTHON_SPELLINGS = {"True": True, "False": False, "None": None}
_OVERRIDE = re.compile(r"--(?P<path>[\w-]+(?:\.[\w-]+)+)(?:=(?P<value>.*))?", re.DOTALL)


def run(function: Callable[..., None], arguments: Sequence[str] | None = None, *, program: str | None = None) -> int:
    """Call a command with what was typed, and say in one line what the user did wrong.

    Args:
        function: the command; its parameters are the options, its docstring is the help.
        arguments: what was typed after the program's name; None takes it from the process.
        program: name shown in the help; None takes the script's.

    Returns:
        Exit code: 0 for success, 2 for a mistake of the user's or a service that refused, 130 for Ctrl-C. Any other
        error is a defect of the program and keeps its traceback.
    """
    try:
        call(function, sys.argv[1:] if arguments is None else arguments, program=program)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output (`| head`) has enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def call(function: Callable[..., None], arguments: Sequence[str], *, program: str | None = None) -> None:
    """Parse what was typed and call the command.

    An option with a dot in its name (`--model.latent-dim 64`) is a path of the run's configuration. A command with a
    parameter `overrides: Mapping[str, Any] | None = None` gets all of them as one mapping from path to value.

    Raises:
        SystemExit: the options are not valid (code 2), or help was asked for (code 0).
    """
    given: dict[str, Mapping[str, Any]] = {}
    if OVERRIDES in inspect.signature(function).parameters:
        arguments, given[OVERRIDES] = split_overrides(arguments)
    command = _for_tyro(function, given)
    tyro.cli(command, prog=program, description=description(function), args=arguments)


def description(function: Callable[..., None]) -> str:
    """The part of a docstring that people read: without the sections that describe parameters and errors."""
    return _SECTION_FOR_CODE.sub("", (inspect.getdoc(function) or "") + "\n").strip()


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Part the options that name a path of the configuration from the command's own.

    Values are read as JSON where they are JSON, and as text where they are not; several values make a tuple.

    Raises:
        ValueError: a path has no value.
    """
    own: list[str] = []
    values: dict[str, list[str]] = {}
    open_path: str | None = None
    for argument in arguments:
        match = _OVERRIDE.fullmatch(argument)
        if match:
            open_path = match["path"].replace("-", "_")
            values[open_path] = [] if match["value"] is None else [match["value"]]
            continue
        if open_path is None or argument.startswith("--"):
            open_path = None
            own.append(argument)
        else:
            values[open_path].append(argument)
    for path, texts in values.items():
        if not texts:
            raise ValueError(f"--{path} has no value")
    return own, {path: _value(texts) for path, texts in values.items()}


def _for_tyro(function: Callable[..., None], given: Mapping[str, Mapping[str, Any]]) -> Callable[..., None]:
    """The command as tyro should read it: no option for what is given, and no line breaks inside an option's help."""

    @functools.wraps(function)
    def command(*arguments: Any, **options: Any) -> None:
        function(*arguments, **given, **options)

    signature = inspect.signature(function)
    parameters = [parameter for name, parameter in signature.parameters.items() if name not in given]
    hints = get_type_hints(function, include_extras=True)
    del command.__wrapped__
    command.__annotations__ = {name: hint for name, hint in hints.items() if name not in given}
    command.__doc__ = _flowing(inspect.getdoc(function) or "")
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


def _flowing(docstring: str) -> str:
    """A docstring whose `Args:` have one line each; tyro keeps line breaks, which a terminal then breaks once more."""
    before, args, options = docstring.partition("\nArgs:\n")
    return before + args + _CONTINUATION.sub(" ", options)


def _value(texts: list[str]) -> Any:
    parsed = tuple(_parse(text) for text in texts)
    return parsed[0] if len(parsed) == 1 else parsed


def _parse(text: str) -> Any:
    if text in _PYTHON_SPELLINGS:
        return _PYTHON_SPELLINGS[text]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
