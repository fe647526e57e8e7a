"""`gen-dist jobs ...`: the scripts of jobs/ on a Ray cluster, each run and study named as its job."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import tyro

from gen_dist.cluster.jobs import Jobs, JobState, check_upload
from gen_dist.commands.secrets import has_secret
from gen_dist.workflows.names import checked_name, unique_name

Address = Annotated[str | None, tyro.conf.arg(metavar="URL")]
Job = Annotated[str, tyro.conf.Positional]

KEPT_OPTIONS = {
    "train.py": ("--runs", "--workers", "--time-budget-seconds", "--register"),
    "tune_gan.py": ("--studies", "--cpus-per-trial", "--gpus-per-trial", "--workers-per-trial"),
    "compare.py": ("--comparisons", "--cpus-per-run", "--gpus-per-run"),
}
"""Of the scripts that can resume: the options that say where and on what, which a resumed one is given again."""

FAILED = 1


def submit(
    command: Annotated[tuple[str, ...], tyro.conf.Positional],
    /,
    *,
    name: str | None = None,
    folder: Path = Path(),
    wait: bool = True,
    address: Address = None,
) -> None:
    """Run a script of jobs/ on a Ray cluster, with this folder's code, and show what it prints.

    The cluster is the one of RAY_API_SERVER_ADDRESS (http://head:8265) or RAY_ADDRESS; the token is found by
    RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH. What .rayignore and .gitignore name is not uploaded; more than 100 MiB
    are refused. Credentials of S3 and MLflow belong into the environment of the cluster's machines, not into a command.

    A run, study or comparison that is given no name gets the job's, so that it can be resumed by it. Ctrl-C ends the
    watching, not the job. The exit code is 0 for a job that succeeded and 1 for one that failed or was stopped.

    Examples:
        gen-dist jobs submit -- jobs/tune_gan.py --data s3://bucket/digits --studies s3://bucket/studies
        gen-dist jobs submit --no-wait -- jobs/train.py dcgan-32 --data s3://bucket/faces --runs s3://bucket/runs

    Args:
        command: script and its options, after a --.
        name: of the job; made up from the script when left out.
        folder: what is uploaded; the job runs in its copy.
        wait: show what it prints until it ends.
        address: of the cluster's dashboard.

    Raises:
        ValueError: there is no such script, the upload is too large, or the command holds a secret.
        SystemExit: with code 1 for a job that did not succeed.
    """
    if not command:
        raise ValueError("name a script after --: gen-dist jobs submit -- jobs/train.py dcgan-8")
    script, *options = command
    path = folder / script
    if path.suffix != ".py" or not path.is_file():
        raise ValueError(f"there is no script {path}: name one below {folder.absolute()}, such as jobs/train.py")
    if has_secret(shlex.join(command)):
        raise ValueError("the command holds a secret, and everybody sees a job's command: leave it to the environment")
    job = checked_name("job", name or unique_name(path.stem.replace("_", "-")))
    if path.name in KEPT_OPTIONS and _value_of(options, ("--name", "--resume")) is None:
        options += ["--name", job]
    check_upload(folder)
    _submit(Jobs(address), [script, *options], job, folder, wait)


def logs(job: Job, /, *, follow: bool = False, address: Address = None) -> None:
    """Show what a job has printed.

    Examples:
        gen-dist jobs logs train-20261122-1a2b3c
        gen-dist jobs logs train-20261122-1a2b3c --follow

    Args:
        job: its name.
        follow: go on until it ends; the exit code is then the job's, as for `gen-dist jobs submit`.
        address: of the cluster's dashboard.

    Raises:
        SystemExit: with code 1 for a followed job that did not succeed.
    """
    jobs = Jobs(address)
    if follow:
        _conclude(job, jobs.follow(job, _show))
    else:
        _show(jobs.logs(job))


def stop(job: Job, /, *, address: Address = None) -> None:
    """End a job. Its run, study or comparison is kept, and `gen-dist jobs resume` goes on with it.

    Example:
        gen-dist jobs stop train-20261122-1a2b3c

    Args:
        job: its name.
        address: of the cluster's dashboard.

    Raises:
        TimeoutError: it is still running.
    """
    state = Jobs(address).stop(job)
    if not state.ended:
        raise TimeoutError(f"{job} is still {state.status}: try again, or look at the dashboard")
    print(f"{job} is {state.status}; go on with it: gen-dist jobs resume {job}")


def resume(job: Job, /, *, folder: Path = Path(), wait: bool = True, address: Address = None) -> None:
    """Go on with the run, study or comparison of a job that has ended, with this folder's code, as a new job.

    It takes up its own settings, at the same place. A cluster that was made anew knows no old jobs: then submit the
    script with --resume NAME.

    Examples:
        gen-dist jobs resume train-20261122-1a2b3c
        gen-dist jobs submit -- jobs/train.py --resume train-20261122-1a2b3c --runs s3://bucket/runs

    Args:
        job: its name.
        folder: what is uploaded.
        wait: show what it prints until it ends.
        address: of the cluster's dashboard.

    Raises:
        ValueError: it is still running, or nothing that can be resumed.
        SystemExit: with code 1 for a job that did not succeed.
    """
    jobs = Jobs(address)
    state = jobs.state(job)
    if not state.ended:
        raise ValueError(f"{job} is {state.status}: stop it first (gen-dist jobs stop {job}), or let it end")
    words = resuming(shlex.split(state.entrypoint))
    name = words[words.index("--resume") + 1]
    check_upload(folder)
    _submit(jobs, words, checked_name("job", unique_name(name)), folder, wait)


def resuming(entrypoint: list[str]) -> list[str]:
    """The command that goes on with what another has begun: script, --resume NAME, where it lies and what it runs on.

    Raises:
        ValueError: the script can't resume, or was given no name.
    """
    found = next((index for index, word in enumerate(entrypoint) if Path(word).name in KEPT_OPTIONS), None)
    if found is None:
        raise ValueError(f"`{shlex.join(entrypoint)}` can't be resumed: submit it again")
    script, *options = entrypoint[found:]
    name = _value_of(options, ("--name", "--resume"))
    if name is None:
        raise ValueError(
            f"`{shlex.join(entrypoint)}` does not name its run: find the name in its log and submit {script} "
            "--resume NAME"
        )
    words = [script, "--resume", name]
    for option in KEPT_OPTIONS[Path(script).name]:
        value = _value_of(options, (option,))
        if value is not None:
            words += [option, value]
    return words


def _value_of(options: list[str], names: tuple[str, ...]) -> str | None:
    """What one of these options is set to: "--name x" or "--name=x", with dashes or underscores."""
    for option, following in zip(options, [*options[1:], None], strict=True):
        name, has_value, value = option.partition("=")
        if name.replace("_", "-") in names:
            return value if has_value else following
    return None


def _submit(jobs: Jobs, words: list[str], job: str, folder: Path, wait: bool) -> None:
    jobs.submit(shlex.join(["python", *words]), job, folder.absolute())
    print(
        f"submitted {job}; follow it: gen-dist jobs logs {job} --follow; end it: gen-dist jobs stop {job}", flush=True
    )
    if not wait:
        return
    try:
        state = jobs.follow(job, _show)
    except KeyboardInterrupt:
        print(f"\n{job} goes on without being watched", flush=True)
        raise
    _conclude(job, state)


def _conclude(job: str, state: JobState) -> None:
    if state.status == "SUCCEEDED":
        print(f"{job} succeeded")
        return
    print(f"{job} is {state.status}: {' '.join(state.message.split())[:300]}", file=sys.stderr)
    raise SystemExit(FAILED)


def _show(text: str) -> None:
    print(text, end="", flush=True)
