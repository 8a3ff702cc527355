import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keras_optim_lab.backend import programs
from keras_optim_lab.cli import app

runner = CliRunner()

FIT_TWICE = """
import jax, keras, numpy as np
from keras_optim_lab import backend

{setting}
backend.reuse_compiled_programs()
hits = []
jax.monitoring.register_event_listener(
    lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None
)
for _ in range(2):
    keras.utils.clear_session()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    print(len(hits), jax.config.values["jax_compilation_cache_dir"])
"""

pytestmark = pytest.mark.only("jax")  # which alone needs to be told to keep programs


def run(place, setting=""):
    code = FIT_TWICE.format(setting=setting)
    # The tests themselves may run with a cache.
    environment = {n: v for n, v in os.environ.items() if n != "JAX_COMPILATION_CACHE_DIR"}
    environment[programs.VARIABLE] = str(place)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return [line.split() for line in done.stdout.splitlines()]


def test_a_second_model_of_the_same_shape_and_another_process_find_programs_compiled(tmp_path):
    (first, _), (hits, folder) = run(tmp_path)
    assert int(first) < int(hits)
    assert Path(folder).parent == tmp_path
    (again, _), _ = run(tmp_path)
    assert int(again) > int(first)


@pytest.mark.parametrize("place", ["", "a file"])
def test_where_nothing_can_be_kept_programs_serve_this_process(place, tmp_path):
    (tmp_path / "file").write_text("")
    (_, _), (hits, folder) = run(place and tmp_path / "file")
    assert int(hits) > 0
    assert "keras-optim-lab-" in folder
    assert not Path(folder).exists()


def test_a_cache_of_the_users_own_is_left_alone(tmp_path):
    setting = f"jax.config.update('jax_compilation_cache_dir', {str(tmp_path)!r})"
    _, (_, folder) = run(tmp_path / "other", setting)
    assert folder == str(tmp_path)
    assert not (tmp_path / "other").exists()


def test_the_oldest_programs_make_room_and_a_command_removes_all(tmp_path, monkeypatch):
    monkeypatch.setenv(programs.VARIABLE, str(tmp_path))
    monkeypatch.setattr(programs, "MOST", 250)
    own = programs.prepared()
    others = [tmp_path / "thesis.txt", tmp_path / "jax-notes" / "thesis.txt", own / "thesis.txt"]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(300))
    for age, name in enumerate("cba"):
        (own / f"{name}-cache").write_bytes(bytes(100))
        os.utime(own / f"{name}-cache", (1000 - age, 1000 - age))
    programs.prepared()
    assert [path.name for path in programs.kept()] == ["b-cache", "c-cache"]
    for arguments, expected in ((["programs"], "2 files"), (["programs", "--clear"], "0 files")):
        assert runner.invoke(app, arguments).output.startswith(expected)
    assert all(path.exists() for path in others)
