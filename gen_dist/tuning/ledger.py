"""The study ledger: our own JSON, one file per trial, so that concurrent writers never meet.

    study.json                              the terms
    trials/<id>/trial.json                  one trial (its sample sheet and checkpoints may lie beside it)
    confirmations/<trial>-<seed>/run.json   one confirmation run

Every file carries the SHA-256 of what it says. A file that was edited or cut off is refused by name; nothing is ever
unpickled, so a planted file can at most be refused.
"""

import hashlib
import json
import math
import re
from typing import Any, TypeVar, final

from gen_dist.data.storage import Storage
from gen_dist.serialization import converter, from_json
from gen_dist.tuning.records import ConfirmationRecord, StudyRecord, TrialRecord

SCHEMA = "gen_dist.study/1"
STUDY_KEY = "study.json"
_NOT_FINITE = "not finite"
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")

Record = TypeVar("Record", StudyRecord, TrialRecord, ConfirmationRecord)


class LedgerError(ValueError):
    """A file of a study is missing, damaged or of another version; the message names it and says what to do."""


@final
class Ledger:
    """A study in a storage folder. Use `create_ledger` or `open_ledger`."""

    def __init__(self, storage: Storage, study: StudyRecord) -> None:
        self.storage = storage
        self.study = study

    def write_trial(self, trial: TrialRecord) -> None:
        """Replace the trial's file in one step."""
        self.storage.write_bytes(trial_key(trial.id), encode(trial))

    def trial(self, trial_id: str) -> TrialRecord:
        """One trial.

        Raises:
            LedgerError: its file was edited or cut off.
            FileNotFoundError: there is no such trial.
        """
        key = trial_key(trial_id)
        return decode(self.storage.read_bytes(key), TrialRecord, self._uri(key))

    def trials(self) -> tuple[TrialRecord, ...]:
        """All trials, in the order in which they were proposed.

        Raises:
            LedgerError: a file was edited or cut off.
        """
        keys = [key for key in self.storage.list("trials") if key.endswith("/trial.json")]
        trials = [decode(self.storage.read_bytes(key), TrialRecord, self._uri(key)) for key in keys]
        return tuple(sorted(trials, key=lambda trial: (trial.number, trial.id)))

    def finished_trials(self) -> tuple[TrialRecord, ...]:
        """Trials that ended with a score: what a resumed search tells its searcher, and never runs again."""
        return tuple(trial for trial in self.trials() if trial.scored)

    def unfinished_trials(self) -> tuple[TrialRecord, ...]:
        """Trials that a resumed study runs on, each from its `checkpoint` (from the start where that is None)."""
        return tuple(trial for trial in self.trials() if trial.state in ("pending", "running"))

    def write_confirmation(self, run: ConfirmationRecord) -> None:
        """Replace the confirmation run's file in one step."""
        self.storage.write_bytes(confirmation_key(run.trial_id, run.seed), encode(run))

    def confirmations(self) -> tuple[ConfirmationRecord, ...]:
        """All confirmation runs, by trial and seed.

        Raises:
            LedgerError: a file was edited or cut off.
        """
        keys = [key for key in self.storage.list("confirmations") if key.endswith("/run.json")]
        runs = [decode(self.storage.read_bytes(key), ConfirmationRecord, self._uri(key)) for key in keys]
        return tuple(sorted(runs, key=lambda run: (run.trial_id, run.seed)))

    def _uri(self, key: str) -> str:
        return f"{self.storage.uri}/{key}"


def create_ledger(storage: Storage, study: StudyRecord) -> Ledger:
    """Write down the terms of a new study.

    Raises:
        LedgerError: there is a study already.
    """
    if storage.exists(STUDY_KEY):
        raise LedgerError(f"{storage.uri} already holds a study: continue it with --resume, or choose another name")
    storage.write_bytes(STUDY_KEY, encode(study))
    return Ledger(storage, study)


def open_ledger(storage: Storage) -> Ledger:
    """The study that lies in a folder.

    Raises:
        LedgerError: there is none, or its file was edited or cut off.
    """
    try:
        data = storage.read_bytes(STUDY_KEY)
    except FileNotFoundError as error:
        raise LedgerError(f"there is no study at {storage.uri} (no {STUDY_KEY} in it)") from error
    return Ledger(storage, decode(data, StudyRecord, f"{storage.uri}/{STUDY_KEY}"))


def trial_folder(trial_id: str) -> str:
    """Key of the folder of one trial, for its sample sheet and checkpoints."""
    return f"trials/{_checked(trial_id)}"


def trial_key(trial_id: str) -> str:
    """Key of a trial's record."""
    return f"{trial_folder(trial_id)}/trial.json"


def confirmation_folder(trial_id: str, seed: int) -> str:
    """Key of the folder of one confirmation run."""
    return f"confirmations/{_checked(trial_id)}-{seed}"


def confirmation_key(trial_id: str, seed: int) -> str:
    """Key of a confirmation run's record."""
    return f"{confirmation_folder(trial_id, seed)}/run.json"


def encode(record: StudyRecord | TrialRecord | ConfirmationRecord) -> bytes:
    """Strict JSON with the digest of the record; see `_strict` for numbers that are not finite."""
    tree = _strict(converter.unstructure(record))
    document = {"schema": SCHEMA, "sha256": _digest(tree), "record": tree}
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def decode(data: bytes, as_type: type[Record], uri: str) -> Record:
    """The record that `encode` wrote.

    Raises:
        LedgerError: it is not the file that was written; the message names it.
    """
    hint = "restore it from a copy, or delete it to run that part of the study again"
    try:
        document = json.loads(data)
    except ValueError as error:
        raise LedgerError(f"{uri} is not valid JSON ({error}): it was cut off or edited; {hint}") from error
    if not isinstance(document, dict) or set(document) != {"schema", "sha256", "record"}:
        raise LedgerError(f"{uri} is not a file of a study ledger; {hint}")
    if document["schema"] != SCHEMA:
        raise LedgerError(f"{uri} has the schema {document['schema']!r}, this version reads {SCHEMA!r}")
    if document["sha256"] != _digest(document["record"]):
        raise LedgerError(f"{uri} was edited since it was written: its digest does not match; {hint}")
    try:
        return from_json(json.dumps(_revived(document["record"])), as_type)
    except (ValueError, TypeError) as error:
        raise LedgerError(f"{uri} is {error}") from error


def _digest(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _strict(tree: Any) -> Any:
    """JSON has no word for numbers that are not finite: they become {"not finite": "nan"}."""
    if isinstance(tree, float) and not math.isfinite(tree):
        return {_NOT_FINITE: str(tree)}
    if isinstance(tree, dict):
        return {str(name): _strict(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_strict(value) for value in tree]
    return tree


def _revived(tree: Any) -> Any:
    """The inverse of `_strict`."""
    if isinstance(tree, dict):
        if set(tree) == {_NOT_FINITE}:
            return float(tree[_NOT_FINITE])
        return {name: _revived(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_revived(value) for value in tree]
    return tree


def _checked(trial_id: str) -> str:
    if not _ID.fullmatch(trial_id):
        raise LedgerError(f"{trial_id!r} can't name a trial: use letters, digits, '-' and '_', at most 80 of them")
    return trial_id
