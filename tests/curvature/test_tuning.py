"""`kol.tune` with a curvature method."""

import keras
import pytest

import keras_optim_lab as kol
from tests.studies import small_task


def model():
    return kol.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def search(optimizer, folder, **changes):
    return kol.tune(
        small_task(**changes),
        optimizer,
        trials=2,
        confirm=0,
        space={"learning_rate": (0.01, 0.1)},
        storage=folder / "study.journal",
    )


def test_trials_of_a_curvature_method_are_trained_one_after_the_other(tmp_path):
    found = search("adahessian", tmp_path, model=model)
    assert len(found.study.trials) == 2
    assert isinstance(found.best_optimizer(), kol.AdaHessian)


@pytest.mark.once
def test_a_plain_keras_model_is_refused_before_a_study_is_made(tmp_path):
    with pytest.raises(TypeError, match=r"keras.Model\(inputs, outputs\) to kol.Model"):
        search("adahessian", tmp_path)
    assert not list(tmp_path.iterdir())
