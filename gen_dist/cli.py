"""The `gen-dist` command: an explicit table of subcommands, each one function that is imported only when it is called.

Torch, Ray and MLflow take seconds to import; `gen-dist --help` and a mistyped subcommand should not.
"""

import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gen_dist import __version__
from gen_dist.commands import entry

PROGRAM = "gen-dist"


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand.

    Attributes:
        name: its words, as they are typed.
        target: "module:function" of what it calls.
        summary: one line for `gen-dist --help`.
    """

    name: str
    target: str
    summary: str

    def load(self) -> Callable[..., None]:
        """Import the function."""
        module, function = self.target.split(":")
        command: Callable[..., None] = getattr(importlib.import_module(module), function)
        return command


COMMANDS: tuple[Command, ...] = (
    Command("import", "gen_dist.commands.import_:import_dataset", "turn images into a dataset of Parquet shards"),
    Command("show", "gen_dist.commands.show:show", "describe a dataset and draw a contact sheet of it"),
    Command("models", "gen_dist.commands.models:models", "list families, papers, capabilities and presets"),
    Command("train", "gen_dist.commands.train:train", "train one preset on a dataset"),
    Command("tune", "gen_dist.commands.tune:tune", "search what makes a GAN stable, and register the winner"),
    Command("compare", "gen_dist.commands.compare:compare", "train many presets under equal budgets: one fair table"),
    Command("evaluate", "gen_dist.commands.evaluate:evaluate", "judge a model against real data and two anchors"),
    Command("sample", "gen_dist.commands.sample:sample", "draw images from a registered model"),
    Command(
        "explore complete",
        "gen_dist.commands.explore.complete:complete",
        "let a model finish images from their upper part",
    ),
    Command(
        "explore reconstruct",
        "gen_dist.commands.explore.reconstruct:reconstruct",
        "encode images and decode them again",
    ),
    Command(
        "explore interpolate",
        "gen_dist.commands.explore.interpolate:interpolate",
        "walk between latents, as a sheet or an animation",
    ),
    Command(
        "explore arithmetic",
        "gen_dist.commands.explore.arithmetic:arithmetic",
        "calculate with latents: A minus B plus C",
    ),
    Command("explore traverse", "gen_dist.commands.explore.traverse:traverse", "move one latent dimension at a time"),
    Command(
        "explore manifold",
        "gen_dist.commands.explore.manifold:manifold",
        "draw the plane of a two-dimensional latent space",
    ),
    Command(
        "explore neighbours",
        "gen_dist.commands.explore.neighbours:neighbours",
        "nearest training images: has it learned them by heart?",
    ),
    Command(
        "explore truncation",
        "gen_dist.commands.explore.truncation:truncation",
        "fidelity against variety as randomness is scaled",
    ),
    Command(
        "explore translate",
        "gen_dist.commands.explore.translate:translate",
        "translate images: sources beside results",
    ),
    Command("probe", "gen_dist.commands.probe:probe", "how much of the classes a model's latents hold"),
    Command("report", "gen_dist.commands.report:report", "write the stability report of a study"),
    Command("registry list", "gen_dist.commands.registry:list_models", "list registered models and their aliases"),
    Command("registry show", "gen_dist.commands.registry:show", "show one registered version"),
    Command("registry promote", "gen_dist.commands.registry:promote", "make a version the champion"),
    Command("registry rollback", "gen_dist.commands.registry:rollback", "give the alias back to the version before"),
    Command("deliver", "gen_dist.commands.deliver:deliver", "bring MLflow what it missed"),
    Command("jobs submit", "gen_dist.commands.jobs:submit", "run a script of jobs/ on a Ray cluster"),
    Command("jobs logs", "gen_dist.commands.jobs:logs", "show what a job prints"),
    Command("jobs stop", "gen_dist.commands.jobs:stop", "end a job; its run or study can be resumed"),
    Command("jobs resume", "gen_dist.commands.jobs:resume", "go on with the run or study of a job that ended"),
    Command("doctor", "gen_dist.commands.doctor.doctor:doctor", "check all that runs need, and say what to do"),
    Command("ui", "gen_dist.commands.ui:ui", "open MLflow's pages on the runs recorded here"),
)

EXAMPLES = """\
examples:
  gen-dist import digits digits-dataset
  gen-dist train dcgan-8 --data digits-dataset
  gen-dist sample models:/gen-dist-digits@champion -n 64 --seed 0 --out grid.png

Every subcommand explains itself: gen-dist train --help
For the traceback of an error, set GEN_DIST_TRACEBACK=1."""


GROUP_EXAMPLES = {
    "explore": """\
examples:
  gen-dist explore interpolate runs/NAME/bundle --out walk.gif
  gen-dist explore arithmetic runs/NAME/bundle --data digits --classes 8 3 5
  gen-dist explore neighbours models:/NAME@champion --data digits

Each explains itself: gen-dist explore interpolate --help
What the pictures show, and which models can: docs/exploring.md""",
    "jobs": """\
examples:
  gen-dist jobs submit -- jobs/train.py dcgan-32 --data s3://bucket/faces --runs s3://bucket/runs
  gen-dist jobs logs train-20261122-1a2b3c --follow

The cluster is the one of RAY_API_SERVER_ADDRESS or RAY_ADDRESS: docs/operations.md""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit code (see `gen_dist.commands.entry.run`)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] == "--version":
        print(__version__)
        return 0
    command = find(words)
    if command is not None:
        used = len(command.name.split())
        return entry.run(command.load(), words[used:], program=f"{PROGRAM} {command.name}")
    return _help(words)


def find(words: Sequence[str]) -> Command | None:
    """The subcommand that a command line begins with, or None."""
    for command in COMMANDS:
        name = command.name.split()
        if list(words[: len(name)]) == name:
            return command
    return None


def _help(words: Sequence[str]) -> int:
    """What to print when no subcommand was recognised: the list, the list of a group, or the nearest name."""
    wants_help = not words or words[-1] in ("-h", "--help")
    typed = list(words[:-1] if words and wants_help else words)
    group = [command for command in COMMANDS if typed and command.name.split()[0] == typed[0]]
    if wants_help and not typed:
        print(_overview("Train, search and honestly judge generative image models.", COMMANDS))
        print(f"\n{EXAMPLES}")
        return 0
    if group and len(typed) == 1:
        stream = sys.stdout if wants_help else sys.stderr
        print(_overview(f"`{PROGRAM} {typed[0]}` has these parts.", group), file=stream)
        if typed[0] in GROUP_EXAMPLES:
            print(f"\n{GROUP_EXAMPLES[typed[0]]}", file=stream)
        return 0 if wants_help else entry.USER_ERROR
    wanted = " ".join(typed[:2]) if group else typed[0]
    near = difflib.get_close_matches(wanted, [command.name for command in group or COMMANDS], n=1, cutoff=0.5)
    hint = f"did you mean `{PROGRAM} {near[0]}`?" if near else f"`{PROGRAM} --help` lists them"
    print(f"error: there is no subcommand `{wanted}`; {hint}", file=sys.stderr)
    return entry.USER_ERROR


def _overview(title: str, commands: Sequence[Command]) -> str:
    width = max(len(command.name) for command in commands)
    lines = [f"  {command.name:<{width}}  {command.summary}" for command in commands]
    return "\n".join([f"usage: {PROGRAM} SUBCOMMAND [OPTIONS]", "", title, "", "subcommands:", *lines])
