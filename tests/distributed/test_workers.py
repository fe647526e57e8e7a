"""Is more workers the same mathematics?"""

import pytest
import torch
from pool import WorkerPool
from runs import train, train_until_it_breaks, train_without_averaging
from torch import Tensor
from toys import TOYS

# Float64 sums in another order: 1e-16 a step, amplified by a few chaotic GAN steps.
TOLERANCE = 1e-7


def parameters_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("memory/")}


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("name", TOYS)
def test_any_number_of_workers_trains_the_same_model(pool: WorkerPool, name: str, workers: int) -> None:
    alone = pool.run(train, name, workers=1)[0]
    together = pool.run(train, name, workers=workers)
    for tensors in together:
        torch.testing.assert_close(
            parameters_of(tensors), parameters_of(alone), atol=TOLERANCE, rtol=TOLERANCE, check_dtype=True
        )
    remembered = {name: t for tensors in together for name, t in tensors.items() if name.startswith("memory/")}
    assert remembered.keys() == {name for name in alone if name.startswith("memory/")}
    for entry, tensor in remembered.items():
        torch.testing.assert_close(tensor, alone[entry], atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("name", TOYS)
def test_without_averaging_they_differ(pool: WorkerPool, name: str) -> None:
    """The negative control: the equality above is not for free."""
    first, second = pool.run(train_without_averaging, name, workers=2)
    first, second = parameters_of(first), parameters_of(second)
    assert max(float((first[key] - second[key]).abs().max()) for key in first) > 1e-3


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_bad_micro_batch_on_one_worker_stops_all_with_one_diagnosis(pool: WorkerPool, workers: int) -> None:
    # Round 2 draws images 64..95 (two critic steps of 16); image 83 is in repeat 1, micro-batch 0.
    answers = pool.run(train_until_it_breaks, 64 + 16 + 3, workers=workers)
    for answer in answers:
        facts = answer["facts"]
        assert facts["phase"] == facts["player"] == "critic"
        assert (facts["round"], facts["repeat"]) == (2, 1)
        assert facts["tensor"].startswith(("output of critic.0", "metric")), facts
        for tensor in answer["after"].values():
            assert tensor.isfinite().all()


def test_more_workers_than_micro_batches_is_refused_with_the_way_out(pool: WorkerPool) -> None:
    with pytest.raises(
        RuntimeError, match=r"2 workers cannot share 1 micro-batch.*set training\.num_micro_batches to 2"
    ):
        pool.run(_train_with_one_micro_batch, workers=2)


def _train_with_one_micro_batch() -> None:
    train("codebook", 1, num_micro_batches=1)
