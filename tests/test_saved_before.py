"""What earlier versions have saved is read by this one.

The files of `tests/saved` were written by version 0.1.0 in November 2026.
"""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_optim_lab as kol
from tests.studies import small_task

SAVED = Path(__file__).parent / "saved"
AFTER = np.load(SAVED / "after_one_more_epoch.npz")


@pytest.mark.parametrize("name", sorted(path.stem for path in SAVED.glob("*.keras")))
def test_a_model_saved_before_goes_on_as_it_would_have(name):
    model = keras.models.load_model(SAVED / f"{name}.keras")
    assert int(model.optimizer.iterations) > 0
    # PyTorch would compile it, as JAX, which wrote it, does.
    model.jit_compile = keras.backend.backend() != "torch"
    model.fit(AFTER["x"], AFTER["y"], epochs=1, shuffle=False, verbose=0)
    weights = np.concatenate([weight.ravel() for weight in model.get_weights()])
    np.testing.assert_allclose(weights, AFTER[name], rtol=1e-4, atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(("file", "url"), [("study.log", "{}"), ("study.db", "sqlite:///{}")])
def test_a_study_begun_before_goes_on(file, url, tmp_path):
    copy = shutil.copy(SAVED / file, tmp_path)
    result = kol.tune(
        small_task(), "adam", trials=8, seed=1, storage=url.format(copy), name="small"
    )
    assert [trial.number for trial in result.study.trials] == [*range(8)]
    assert result.study.trials[5].value == pytest.approx(5.804930210113525)
