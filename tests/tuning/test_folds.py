"""Folds as rows: each is the training of its own task by `fit`, whichever engine trains it."""

import keras
import numpy as np
import pytest

from keras_optim_lab.tasks.splits import Fold
from keras_optim_lab.tuning import repetitions
from keras_optim_lab.tuning.engines.engine import runs_of_a_trial
from keras_optim_lab.tuning.engines.fit_engine import FitEngine
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.engines.sequential_engine import SequentialEngine
from keras_optim_lab.tuning.repetitions import Training
from keras_optim_lab.tuning.spaces.configuration import Configuration
from tests.fit_without_xla import eagerly
from tests.studies import small_task

ADAM = Configuration("adam", {"learning_rate": 0.01}, decay="linear", warmup=0.25)
FOLDS = [Fold(0, 3), Fold(2, 3), Fold(2, 3, repeat=1)]
TRAININGS = [Training("adam", ADAM, seed, fold=fold) for seed, fold in enumerate(FOLDS)]


def batch_normalized():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, activation="tanh"),
            layers.BatchNormalization(momentum=0.5),
            layers.Dense(1),
        ]
    )


def weighted_task(**changes):
    """32 samples, those of training with weights; both passes of every fold end in a rest."""
    x, y = small_task().train
    weighted = (x, y, np.linspace(0.1, 2, len(x)))
    return small_task(model=batch_normalized, train=weighted, batch_size=8, **changes)


@pytest.fixture(scope="module")
def by_fit():
    with eagerly():
        return repetitions.train(weighted_task(), TRAININGS, engine=FitEngine())


@pytest.mark.parametrize(
    "engine",
    [SequentialEngine(), PopulationEngine(4, "vectorized"), PopulationEngine(2, "looped")],
    ids=["sequential", "vectorized", "looped"],
)
def test_a_fold_and_a_seed_give_the_same_numbers_in_every_engine(by_fit, engine):
    found = repetitions.train(weighted_task(), TRAININGS, engine=engine)
    for curves, expected in zip(found, by_fit, strict=True):
        for name in ("loss", "val_loss", "val_mae"):
            np.testing.assert_allclose(curves[name], expected[name], rtol=2e-5)
    assert len({curves["val_loss"][-1] for curves in found}) == 3


def test_a_fold_is_the_training_of_its_own_task(by_fit):
    for training, curves in zip(TRAININGS, by_fit, strict=True):
        task = weighted_task().fold(training.fold)
        with eagerly():
            model = task.build(ADAM.optimizer(task.training_steps), training.seed)
            history = task.fit(model, training.seed).history
            plain = task.evaluate(model, "validation")
        np.testing.assert_allclose(curves["val_loss"], history["val_loss"], rtol=1e-5)
        assert curves["val_loss"][-1] == pytest.approx(plain["loss"], rel=1e-5)


@pytest.mark.once
def test_folds_are_refused_before_anything_is_trained():
    task, other = small_task(), Training("adam", ADAM, 0, fold=Fold(0, 4))
    bad = {
        "have the counts .*call train once": ([*TRAININGS, other], {}),
        "have the counts": ([Training("adam", ADAM, 0), other], {}),
        "split='test': trainings with folds": ([other], {"split": "test"}),
        "folds=40 is more than the 32": ([Training("adam", ADAM, 0, fold=Fold(0, 40))], {}),
        "`number` must be": ([Training("adam", ADAM, 0, fold=Fold(4, 4))], {}),
    }
    for message, (trainings, arguments) in bad.items():
        with pytest.raises(ValueError, match=message):
            repetitions.train(task, trainings, engine=None, **arguments)


@pytest.mark.once
def test_every_run_of_a_trial_has_a_seed_of_its_own_and_every_repeat_another_partition():
    assert runs_of_a_trial(5, 2, None) == [(5, None), (6, None)]
    assert runs_of_a_trial(5, 2, 2) == [
        *((5, Fold(0, 2, 0)), (6, Fold(1, 2, 0))),
        *((7, Fold(0, 2, 1)), (8, Fold(1, 2, 1))),
    ]
