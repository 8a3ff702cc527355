"""The runs of a map are the trainings of `fit`, on every backend."""

import numpy as np

import keras_optim_lab as kol
from tests.studies import small_task


def test_each_cell_ends_as_fit_does_with_its_settings_and_seeds():
    task = small_task()
    found = kol.map(task, settings=4, seeds=2, seed=3, folds=None)
    assert np.isfinite(found.runs).all()
    for seed, row, column in [(0, 0, 0), (1, 1, 1), (0, 0, 1)]:
        optimizer = found.plane.cell(row, column).optimizer(task.training_steps)
        history = task.fit(task.build(optimizer, 3 + seed), 3 + seed)
        fitted = history.history["val_loss"][-1]
        np.testing.assert_allclose(found.runs[seed, row, column], fitted, rtol=1e-4)
    assert len(found.marked[0].values) == 8
