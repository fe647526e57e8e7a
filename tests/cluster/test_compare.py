"""`gen-dist compare` on Ray: a failed preset is a row, the others finish, and a second call does only what is left."""

from pathlib import Path

import pytest

from gen_dist.commands.compare import compare
from gen_dist.data.storage import open_storage
from gen_dist.workflows.comparison import read_entry

PRESETS = ("vae-8", "realnvp-8", "gaussian-8")


@pytest.mark.usefixtures("ray_cluster")
def test_a_comparison_goes_on_where_it_was(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "comparisons"
    damaged = root / "first" / "runs" / "realnvp-8" / "run.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text('{"name": "realnvp')
    compare(
        PRESETS, data=str(digits), images=64_000, max_epochs=0.5, comparisons=str(root), name="first",
        extractor="random", num_samples=100, num_scored=50, track=False,
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "realnvp-8: failed" in said
    assert "run.json" in said
    folder = open_storage(root / "first")
    entries = {name: read_entry(folder, name) for name in PRESETS}
    assert {name: entry.state for name, entry in entries.items() if entry} == {
        "vae-8": "finished", "realnvp-8": "failed", "gaussian-8": "finished",
    }  # fmt: skip
    assert entries["vae-8"] is not None
    assert 600 < entries["vae-8"].images < 800  # half of the 1,300 training images, in whole batches
    assert entries["vae-8"].record is not None
    assert "frechet_distance" in entries["vae-8"].record.metrics
    assert "- realnvp-8 failed: " in (root / "first" / "comparison.md").read_text()

    damaged.unlink()
    before = (root / "first" / "runs" / "vae-8" / "result.json").stat().st_mtime_ns
    compare(comparisons=str(root), resume="first")
    again = read_entry(folder, "realnvp-8")
    assert again is not None
    assert again.state == "finished"
    assert (root / "first" / "runs" / "vae-8" / "result.json").stat().st_mtime_ns == before
    text = (root / "first" / "comparison.md").read_text()
    assert "failed" not in text
    assert all(f"| {name} |" in text for name in PRESETS)
    assert (root / "first" / "samples.png").exists()


def test_terms_that_cannot_be_kept_are_refused_at_once(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="either --time-budget or --images"):
        compare(("vae-8",), data=str(digits), images=10, time_budget="1m", comparisons=str(tmp_path))
    with pytest.raises(ValueError, match="no preset is called 'vea-8'"):
        compare(("vea-8",), data=str(digits), comparisons=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
