"""`gen-dist tune` at the command line: a mistake is refused before anything is made, and the answer can be followed."""

import re
import shlex
from pathlib import Path

import pytest

from gen_dist.commands.entry import call
from gen_dist.commands.tune import tune


def test_what_a_refusal_proposes_is_understood(tmp_path: Path) -> None:
    """The space searches four fields that pix2pix lacks; leaving out three of them is refused for the fourth alone."""
    begun = ["--preset", "pix2pix-8", "--data", "digits", "--studies", str(tmp_path)]
    with pytest.raises(ValueError, match="does not have") as refused:
        call(tune, begun)
    proposed = shlex.split(" ".join(re.findall(r"--dimension \w+=preset", str(refused.value))))
    assert len(proposed) == 8
    with pytest.raises(ValueError, match="does not have") as again:
        call(tune, [*begun, *proposed[:-2]])
    assert re.findall(r"--dimension \w+=preset", str(again.value)) == [" ".join(proposed[-2:])]


@pytest.mark.parametrize("options", [["--confirm", "-1"], ["--seeds", "0"]])
def test_what_could_only_fail_after_the_search_is_refused_before_it(options: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="confirm 0 or more, each with 1 seed or more"):
        call(tune, ["--data", "digits", "--studies", str(tmp_path), *options])
    assert list(tmp_path.iterdir()) == []
