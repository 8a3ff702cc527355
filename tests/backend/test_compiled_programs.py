import os
import subprocess
import sys

import pytest

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


def run(setting=""):
    code = FIT_TWICE.format(setting=setting)
    # The tests themselves may run with a cache.
    environment = {n: v for n, v in os.environ.items() if n != "JAX_COMPILATION_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return [line.split() for line in done.stdout.splitlines()]


def test_a_second_model_of_the_same_shape_finds_its_program_compiled():
    (_, _), (hits, folder) = run()
    assert int(hits) > 0
    assert "keras-optim-lab-" in folder


def test_a_cache_of_the_users_own_is_left_alone(tmp_path):
    setting = f"jax.config.update('jax_compilation_cache_dir', {str(tmp_path)!r})"
    _, (_, folder) = run(setting)
    assert folder == str(tmp_path)
