"""Made-up studies for the tests of what is said about one."""

import math
import random
from dataclasses import replace
from io import BytesIO

from PIL import Image

from gen_dist.tuning.outcome import Divergence, Fact, Outcome
from gen_dist.tuning.records import ConfirmationRecord, Spent, StudyRecord, TrialRecord
from gen_dist.tuning.report.view import StudyView
from gen_dist.tuning.score import WORST_SCORE
from gen_dist.tuning.space import sample
from gen_dist.tuning.spaces import STABILITY

STUDY = StudyRecord(
    name="spring & <script>alert(1)</script>",
    created="2025-01-01T00:00:00Z",
    space=STABILITY,
    preset="dcgan-8",
    base_config="{}",
    data_uri="data/digits",
    data_digest="0123456789abcdef",
    searcher="tpe",
    scheduler="asha",
    num_trials=30,
    images_per_trial=1000,
    seed=7,
    anchors={"frechet_distance_gaussian": 2.0, "frechet_distance_real": 0.2},
)


def png():
    buffer = BytesIO()
    Image.new("L", (8, 8)).save(buffer, format="PNG")
    return buffer.getvalue()


def made_trial(n, values, rng, *, broken):
    """Broken above a critic learning rate of 2e-3, otherwise the better the nearer to 3e-4."""
    outcome = Outcome(kind="healthy", evidence=(Fact(name="distance", value=1.0, threshold=2.0),), advice="Fine.")
    score = 10 ** abs(math.log10(values["critic_learning_rate"]) + 3.5) * math.exp(0.2 * rng.gauss(0, 1))
    if broken:
        where = Divergence(phase="critic", player="critic", round=3, repeat=0, tensor="output of <3>")
        outcome = Outcome(kind="diverged", evidence=(), advice="Lower it.", divergence=where)
        score = WORST_SCORE
    rows = tuple(
        {
            "round": float(i), "samples_seen": 64.0 * i, "critic/real_score": 1.0, "critic/fake_score": -1.0,
            "critic/gradient_norm": math.nan if broken and i == 3 else 1.0, "generator/gradient_norm": 0.5,
            "critic/real_diversity": 0.5, "critic/fake_diversity": 0.4,
        }
        for i in range(1, 4)
    )  # fmt: skip
    return TrialRecord(
        id=f"t{n:04d}",
        number=n,
        values=values,
        config=f"{n}",
        state="finished",
        spent=Spent(updates={"generator": 10, "critic": 20}, images=640, seconds=2.0),
        trace=rows,
        evaluations=() if broken else ({"samples_seen": 64.0, "frechet_distance": score},),
        outcome=outcome,
        score=score,
        sample_sheet=f"trials/t{n:04d}/samples.png",
    )


def made_view(num=30, study=STUDY, **changes):
    rng = random.Random(0)
    trials = []
    for n in range(num):
        values = sample(study.space, rng)
        values.setdefault("critic_learning_rate", values.get("learning_rate"))
        trials.append(made_trial(n, values, rng, broken=values["critic_learning_rate"] > 2e-3))
    view = StudyView(study, tuple(trials), (), {trial.id: png() for trial in trials})
    best = view.ranked[0].id
    runs = tuple(
        ConfirmationRecord(
            trial_id=trial_id, seed=seed, config="{}", state="finished",
            metrics={"frechet_distance": distance}, anchors=STUDY.anchors,
        )
        for trial_id, distances in ((best, (0.9, 1.0)), ("t0001", (1.5, 1.6)))
        for seed, distance in enumerate(distances)
    )  # fmt: skip
    return replace(view, **{"confirmations": runs, **changes})
