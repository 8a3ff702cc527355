import pytest

from tests.fit_without_xla import fit_without_xla  # noqa: F401


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    """Projects are made below the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
