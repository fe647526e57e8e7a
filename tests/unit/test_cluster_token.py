"""The token of a Ray that gen_dist starts on one machine."""

import stat
from pathlib import Path

import pytest

from gen_dist.cluster.reach import make_token, token_state


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_missing_token_is_made_for_its_owner_alone(home: Path) -> None:
    make_token({})
    file = home / ".ray" / "auth_token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text()) == 64
    state = token_state({})
    assert (state.source, state.problem, state.readable_by_others) == (str(file), "", False)
    before = file.read_text()
    make_token({})
    assert file.read_text() == before
    assert [path.name for path in file.parent.iterdir()] == ["auth_token"]


@pytest.mark.parametrize(
    "environment", [{"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": "given"}, {"RAY_AUTH_TOKEN_PATH": "/a/file"}]
)
def test_no_token_is_made_beside_another(environment: dict[str, str], home: Path) -> None:
    make_token(environment)
    assert not (home / ".ray").exists()
