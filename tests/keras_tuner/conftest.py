import pytest


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    """Projects are made below the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
