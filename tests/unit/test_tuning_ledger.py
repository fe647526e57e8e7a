import json
import math
from dataclasses import replace

import pytest

from gen_dist.data.storage import open_storage
from gen_dist.tuning.ledger import LedgerError, create_ledger, open_ledger, trial_key
from gen_dist.tuning.outcome import Divergence, Fact, Outcome
from gen_dist.tuning.records import ConfirmationRecord, Spent, StudyRecord, TrialRecord
from gen_dist.tuning.spaces import STABILITY

STUDY = StudyRecord(
    name="spring",
    created="2025-01-01T00:00:00Z",
    space=STABILITY,
    preset="dcgan-digits",
    base_config="{}",
    data_uri="data/digits",
    data_digest="abc",
    searcher="tpe",
    scheduler="asha",
    num_trials=3,
    images_per_trial=1000,
    seed=7,
    confirmation_seeds=(1, 2),
    anchors={"frechet_distance_gaussian": 1.5},
)
TRIAL = TrialRecord(
    id="t0001",
    number=1,
    values={"objective": "hinge", "k": 2, "critic_learning_rate": 1e-3},
    config='{"seed": 0}',
    state="finished",
    checkpoint="studies/spring/trials/t0001/checkpoints",
    spent=Spent(updates={"critic": 20, "generator": 10}, images=640, seconds=1.5),
    trace=({"round": 10.0, "samples_seen": 640.0, "critic/loss": math.nan, "critic/real_score": math.inf},),
    evaluations=({"samples_seen": 640.0, "frechet_distance": 2.0},),
    outcome=Outcome(
        kind="diverged",
        evidence=(Fact(name="round", value=10.0, threshold=math.inf),),
        advice="Lower it.",
        divergence=Divergence(phase="critic", player="critic", round=10, repeat=0, tensor="output of 3"),
    ),
    score=1e6,
)


@pytest.fixture
def storage(tmp_path):
    return open_storage(tmp_path / "study")


def refuse_constant(name):
    raise AssertionError(f"{name} is no JSON")


def test_what_is_written_is_read_back(storage):
    ledger = create_ledger(storage, STUDY)
    ledger.write_trial(TRIAL)
    run = ConfirmationRecord(trial_id="t0001", seed=2, config="{}", metrics={"frechet_distance": 1.0})
    ledger.write_confirmation(run)
    again = open_ledger(storage)
    assert again.study == STUDY
    (read,) = again.trials()
    assert math.isnan(read.trace[0]["critic/loss"])
    assert read.trace[0]["critic/real_score"] == math.inf
    assert replace(read, trace=()) == replace(TRIAL, trace=())
    assert again.confirmations() == (run,)


def test_files_are_strict_json_that_any_reader_takes(storage):
    create_ledger(storage, STUDY).write_trial(TRIAL)
    for key in storage.list():
        json.loads(storage.read_bytes(key), parse_constant=refuse_constant)


def test_a_resumed_study_runs_only_what_is_unfinished_and_from_its_checkpoint(storage):
    ledger = create_ledger(storage, STUDY)
    for number, state in enumerate(["finished", "running", "pending", "failed"]):
        ledger.write_trial(
            TrialRecord(
                id=f"t{number}",
                number=number,
                values={},
                config="{}",
                state=state,
                score=1.0 if state == "finished" else None,
                checkpoint=f"checkpoints/{number}",
            )
        )
    again = open_ledger(storage)
    assert [trial.id for trial in again.finished_trials()] == ["t0"]
    assert [(trial.id, trial.checkpoint) for trial in again.unfinished_trials()] == [
        ("t1", "checkpoints/1"),
        ("t2", "checkpoints/2"),
    ]


def test_writers_of_different_trials_do_not_touch_each_others_files(storage):
    ledger = create_ledger(storage, STUDY)
    ledger.write_trial(TRIAL)
    before = storage.read_bytes(trial_key("t0001"))
    ledger.write_trial(replace(TRIAL, id="t0002", number=2))
    assert storage.read_bytes(trial_key("t0001")) == before
    assert [trial.id for trial in ledger.trials()] == ["t0001", "t0002"]


def edited(data):
    return data.replace(b'"k": 2', b'"k": 3')


def cut_off(data):
    return data[: len(data) // 2]


def other_schema(data):
    return data.replace(b"gen_dist.study/1", b"gen_dist.study/9")


def pickled(data):
    return b"\x80\x04cos\nsystem\n(S'true'\ntR."


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (edited, "was edited"),
        (cut_off, "cut off or edited"),
        (other_schema, "gen_dist.study/9"),
        (pickled, "not valid JSON"),
        (lambda data: b"[]", "not a file of a study ledger"),
    ],
)
def test_a_damaged_trial_is_refused_by_name(storage, damage, message):
    ledger = create_ledger(storage, STUDY)
    ledger.write_trial(TRIAL)
    key = trial_key("t0001")
    before = storage.read_bytes(key)
    assert damage(before) != before
    storage.write_bytes(key, damage(before))
    with pytest.raises(LedgerError, match=message) as caught:
        ledger.trials()
    assert "t0001/trial.json" in str(caught.value)


def test_a_field_of_the_wrong_type_is_refused_though_its_digest_is_right(storage):
    ledger = create_ledger(storage, STUDY)
    wrong = replace(TRIAL)
    object.__setattr__(wrong, "state", "sleeping")
    ledger.write_trial(wrong)
    with pytest.raises(LedgerError, match="sleeping"):
        ledger.trials()


def test_a_damaged_study_file_is_refused_by_name(storage):
    create_ledger(storage, STUDY)
    storage.write_bytes("study.json", storage.read_bytes("study.json").replace(b"spring", b"autumn"))
    with pytest.raises(LedgerError, match=r"study\.json was edited"):
        open_ledger(storage)


def test_a_study_is_never_overwritten_and_never_invented(storage):
    with pytest.raises(LedgerError, match="there is no study"):
        open_ledger(storage)
    create_ledger(storage, STUDY)
    with pytest.raises(LedgerError, match="already holds a study"):
        create_ledger(storage, STUDY)


@pytest.mark.parametrize("trial_id", ["../escape", "a/b", "", "x" * 81])
def test_a_trial_can_not_leave_the_study_by_its_name(storage, trial_id):
    ledger = create_ledger(storage, STUDY)
    with pytest.raises(LedgerError, match="can't name a trial"):
        ledger.write_trial(replace(TRIAL, id=trial_id))
