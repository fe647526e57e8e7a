"""A small search on the real cluster, and what is looked at when it is over."""

import hashlib
from collections import Counter
from dataclasses import dataclass

from cluster_runs import JOB_SECONDS, Site, Submitted
from faulted_runs import points_in
from ray_cluster import wait_for

from gen_dist.data.storage import open_storage
from gen_dist.training.checkpoint import read_checkpoint
from gen_dist.tuning.ledger import Ledger, confirmation_folder, open_ledger
from gen_dist.tuning.records import TrialRecord

BATCH = 32
NUM_TRIALS = 4
TRIAL_IMAGES = 320 * BATCH
SETTINGS = {
    "model.generator-channels": 8,
    "model.critic-channels": 8,
    "training.batch-size": BATCH,
    "training.rounds-per-report": 5,
    "training.checkpoint-every-images": 40 * BATCH,
    "training.checkpoint-every-seconds": None,
}
LIMITS = {
    "trials": NUM_TRIALS,
    "images": TRIAL_IMAGES,
    "confirm": 1,
    "confirm-images": 160 * BATCH,
    "seeds": 2,
    "searcher": "random",
    "scheduler": "none",  # who is stopped early depends on who is slow
    "extractor": "random",
    "num-samples": 100,
}


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that a study found, whatever it is called and however long it took.

    Attributes:
        trials: digest of weights and moments at the end of each trial.
        confirmations: digest of the weights of each confirmation run.
        scores: of the trials.
        points: key and step of everything that MLflow was told, by run, with how often it has it.
    """

    trials: dict[str, str]
    confirmations: dict[str, str]
    scores: dict[str, float | None]
    points: dict[str, Counter[tuple[str, int]]]


def tuning(site: Site) -> list[str]:
    """Script and options, without a name."""
    words = ["jobs/tune_gan.py", "--data", f"{site.bucket}/digits", "--studies", studies(site), "--register", ""]
    settings = LIMITS | SETTINGS
    return words + [word for name, value in settings.items() for word in (f"--{name}", str(value))]


def tune(site: Site, name: str) -> Submitted:
    """The study, new."""
    return site.ray_job(*tuning(site), "--name", name)


def resume(site: Site, name: str) -> Submitted:
    """The study, gone on with by a new job."""
    return site.ray_job("jobs/tune_gan.py", "--resume", name, "--studies", studies(site))


def studies(site: Site) -> str:
    return f"{site.bucket}/studies"


def ledger_of(site: Site, name: str) -> Ledger:
    return open_ledger(open_storage(f"{studies(site)}/{name}"))


def trials_of(site: Site, name: str) -> tuple[TrialRecord, ...]:
    """The trials so far; none while the study is not written down."""
    try:
        return ledger_of(site, name).trials()
    except ValueError:
        return ()


def wait_for_evaluations(site: Site, name: str, number: int, submitted: Submitted) -> None:
    """Until the study's trials were judged so often, all together, and two of them run."""

    def judged() -> bool:
        assert submitted.process.poll() is None, submitted.text
        trials = trials_of(site, name)
        running = [trial for trial in trials if trial.state == "running"]
        return len(running) == 2 and sum(len(trial.evaluations) for trial in trials) >= number

    wait_for(judged, f"evaluation {number} of {name}")


def found(site: Site, name: str) -> Found:
    """What the study found; MLflow gets the time to take what is left."""
    ledger = ledger_of(site, name)
    trials, confirmations = ledger.trials(), ledger.confirmations()
    assert [trial.state for trial in trials] == ["finished"] * NUM_TRIALS, [trial.error for trial in trials]
    assert [run.state for run in confirmations] == ["finished"] * 2, [run.error for run in confirmations]
    weights = {}
    for run in confirmations:
        folder = ledger.storage.child(confirmation_folder(run.trial_id, run.seed))
        weights[f"{run.trial_id}-{run.seed}"] = hashlib.sha256(
            folder.read_bytes("bundle/weights.safetensors")
        ).hexdigest()
    return Found(
        trials={trial.id: digest_of(trial) for trial in trials},
        confirmations=weights,
        scores={trial.id: trial.score for trial in trials},
        points={
            run: Counter((key, step) for key, step, _ in points_in(site.mlflow, f"{name}/{run}"))
            for run in [*(trial.id for trial in trials), *(f"confirm-{key}" for key in weights)]
        },
    )


def digest_of(trial: TrialRecord) -> str:
    """Of its last checkpoint, which is read whole."""
    assert trial.checkpoint is not None
    folder, key = trial.checkpoint.rsplit("/", 1)
    checkpoint = read_checkpoint(open_storage(folder), key)
    assert checkpoint.moment.samples_seen >= TRIAL_IMAGES  # a round of k critic steps draws k batches
    return checkpoint.digest


def assert_same(site: Site, name: str, peaceful: Found) -> int:
    """The study found what the undisturbed one did, and left nothing; returns how many points MLflow has of it."""
    result = found(site, name)
    assert result.trials == peaceful.trials
    assert result.confirmations == peaceful.confirmations
    assert result.scores == peaceful.scores
    assert all(count == 1 for run in result.points.values() for count in run.values())
    assert result.points == peaceful.points
    wait_for(lambda: not site.living(), f"the end of {site.living()}")
    return sum(run.total() for run in result.points.values())


def finish(submitted: Submitted) -> None:
    """Until the job has ended well."""
    assert submitted.wait(JOB_SECONDS) == 0, submitted.text
