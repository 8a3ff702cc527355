"""Folds as rows: each is the training of its own task by `fit`, whichever engine trains it."""

from pathlib import Path

import keras
import numpy as np
import optuna
import pytest

import keras_optim_lab as kol
from keras_optim_lab.reports.report import making
from keras_optim_lab.tasks.splits import Fold
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import repetitions
from keras_optim_lab.tuning.asked import Asked
from keras_optim_lab.tuning.engines.engine import runs_of_a_trial
from keras_optim_lab.tuning.engines.fit_engine import FitEngine
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.engines.sequential_engine import SequentialEngine
from keras_optim_lab.tuning.repetitions import Training
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.recipe import Recipe
from tests.fit_without_xla import eagerly
from tests.studies import Formula, small_model, small_task
from tests.tuning.populations import assert_same_trials, search

ADAM = Configuration("adam", {"learning_rate": 0.01}, Recipe("linear", 0.25))
FOLDS = [Fold(0, 3), Fold(2, 3), Fold(2, 3, repeat=1)]
TRAININGS = [Training("adam", ADAM, seed, fold=fold) for seed, fold in enumerate(FOLDS)]


class Streamed(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return np.ones((4, 3)), np.ones((4, 1))


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


# Studies.


def test_a_trial_is_judged_by_the_mean_over_its_seeds_and_folds():
    arguments = {"trials": 2, "seeds_per_trial": 2, "folds": 2}
    engine = PopulationEngine()
    found = search(engine, **arguments)
    assert_same_trials(found, search(FitEngine(), **arguments))
    assert engine.summary["width"] % 4 == 0
    task, trial = small_task(), found.study.trials[1]
    assert trial.user_attrs["seed"] == 9
    runs = runs_of_a_trial(9, 2, 2)
    chosen = found.space.decode(trial.params)
    trainings = [Training("", chosen, seed, fold=fold) for seed, fold in runs]
    values = [curves["val_loss"][-1] for curves in repetitions.train(task, trainings)]
    assert trial.user_attrs["values"] == pytest.approx(values, rel=1e-5)
    assert trial.value == pytest.approx(np.mean(values), rel=1e-5)


@pytest.mark.once
def test_a_schedule_is_as_long_as_the_training_of_a_fold():
    task = small_task(batch_size=5, epochs=1)
    space = {"schedule": "linear", "beta_1": 0.9}
    result = search(Formula(), task, trials=1, folds=2, space=space)
    (candidate,) = Asked(result, 2, []).take(1)
    assert candidate.steps == task.fold(Fold(0, 2)).training_steps == 4
    assert result.steps == task.training_steps == 5


@pytest.mark.once
def test_a_small_validation_split_is_cross_validated_and_the_study_keeps_that(
    task, by_formula, caplog
):
    with caplog.at_level("INFO", "keras_optim_lab"):
        result = kol.tune(task, trials=1, name="mine")
    assert "8 validation samples are few to tell settings apart by" in caplog.text
    assert "over 5 folds" in caplog.text
    assert "folds=None turns this off" in caplog.text
    assert result.folds == TuningResult.load("mine", task=task).folds == 5
    assert dict(making(result))["folds"] == "5"
    for folds in ("auto", 5):
        assert kol.tune(task, trials=1, name="mine", folds=folds).folds == 5


@pytest.mark.once
@pytest.mark.parametrize(("begun", "other"), [("auto", None), (3, 4), (None, 5)])
def test_a_study_goes_on_with_the_folds_it_has_begun_with(task, by_formula, begun, other):
    made = kol.tune(task, trials=1, name="mine", folds=begun)
    assert kol.tune(task, trials=2, name="mine").folds == made.folds
    journal = Path("studies/mine.journal")
    before = journal.read_bytes()
    with pytest.raises(
        ValueError, match=f"another number of folds: {made.folds}, not {other}.*another name"
    ):
        kol.tune(task, trials=3, name="mine", folds=other)
    assert journal.read_bytes() == before


@pytest.mark.once
def test_the_plan_of_a_study_without_folds_does_not_speak_of_them(make_study):
    assert "folds" not in make_study().study.user_attrs["keras_optim_lab"]
    assert make_study(name="other", folds=4).study.user_attrs["keras_optim_lab"]["folds"] == 4


def of_the_trial(trial):
    return small_model()


def many(samples):
    return np.ones((samples, 3), "float32"), np.ones((samples, 1), "float32")


@pytest.mark.once
@pytest.mark.parametrize(
    ("changes", "objective", "said"),
    [
        ({"validation": many(500)}, "val_loss", ""),
        ({}, "loss", ""),
        ({"model": of_the_trial}, "val_loss", ""),
        ({"train": Streamed()}, "val_loss", ""),
        ({"train": many(2), "validation": many(2)}, "val_loss", "folds=5 is more than the 4"),
    ],
)
def test_studies_that_need_no_folds_or_can_have_none_are_not_cross_validated(
    make_study, caplog, changes, objective, said
):
    with caplog.at_level("INFO", "keras_optim_lab"):
        made = make_study(task=small_task(**changes), objective=objective, folds="auto")
    assert made.folds is None
    assert said in caplog.text
    assert bool(said) == ("validation samples are few" in caplog.text)


@pytest.mark.once
def test_folds_of_a_model_that_is_trained_by_fit_are_said_with_what_they_cost(make_study, caplog):
    made = make_study(task=small_task(model=of_the_trial), folds=2, seeds_per_trial=2)
    made.run(1)
    assert "one after the other, in 4 trainings over 2 folds; with folds=None there are 2." in (
        caplog.text
    )
    caplog.clear()
    make_study(name="other", task=small_task(model=of_the_trial)).run(1)
    assert "one after the other." in caplog.text


@pytest.mark.once
@pytest.mark.parametrize(
    ("folds", "changes", "error", "message"),
    [
        (1, {}, ValueError, '`folds` must be a whole number ≥ 2, "auto" or None. .* folds=1'),
        ("many", {}, TypeError, "\"auto\" or None. Received: folds='many'"),
        (33, {}, ValueError, "folds=33 is more than the 32 training and validation samples"),
        (3, {"train": Streamed()}, ValueError, "train of task 'small' is a data pipeline"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_anything_is_stored(folds, changes, error, message):
    storage = optuna.storages.InMemoryStorage()
    with pytest.raises(error, match=message):
        kol.tune(small_task(**changes), trials=1, folds=folds, storage=storage)
    assert storage.get_all_studies() == []
