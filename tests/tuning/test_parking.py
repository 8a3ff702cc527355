"""Rows that are parked and put back train as if they had never left."""

import keras
import numpy as np
import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from keras_optim_lab.optimizers import Adam
from keras_optim_lab.tuning.engines.clock import Clock
from keras_optim_lab.tuning.engines.engine import Candidate, runs_of_a_trial
from keras_optim_lab.tuning.engines.fit_engine import FitEngine
from keras_optim_lab.tuning.engines.passes import Passes
from keras_optim_lab.tuning.engines.population import AtOnce, Population, Programs
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.freeze_thaw import FreezeThaw, extrapolated
from keras_optim_lab.tuning.spaces.configuration import Configuration
from tests.studies import small_task
from tests.tuning.populations import FORMS, Rows, search, ten_steps

EPOCHS = 4


def noisy_and_normalized():
    """Its state holds averages and the seeds of dropout, beside weights and slots."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, activation="tanh"),
            layers.BatchNormalization(momentum=0.5),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )


class Kept(Candidate):
    """Keeps what is reported; each has two runs."""

    def __init__(self, task, seed, rate):
        configuration = Configuration("adam", {"learning_rate": rate})
        super().__init__(configuration, runs_of_a_trial(seed, 2, None), task, "val_loss", None)
        self.curve = []

    def report(self, epoch, *logs):
        assert epoch == len(self.curve)
        self.curve.append(logs)
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Side:
    """Two populations of one program, each with a seat for one candidate of two runs."""

    def __init__(self, form):
        self.task = ten_steps(noisy_and_normalized, samples=24, epochs=EPOCHS)
        rows = Rows(self.task, Adam(), 4, form)
        passes = Passes(self.task)
        programs = Programs(rows.epoch, [(data, rows.program) for data in passes.forms()])
        parts = rows.epoch, programs, passes
        self.one, self.other = Population(*parts, range(4), 2), Population(*parts, range(4, 8), 2)

    def train(self, population, epochs=1):
        for _ in range(epochs):
            population.start(AtOnce(), Clock())
            population.finish(lambda epochs: [c.report(e, *logs) for c, e, logs in epochs])


@pytest.mark.parametrize("form", FORMS)
def test_a_candidate_that_is_parked_goes_on_as_if_it_had_stayed(form):
    side = Side(form)
    plans = (5, 0.01), (5, 0.01), (7, 0.1)
    stays, leaves, third = (Kept(side.task, *plan) for plan in plans)
    for population, candidate in ((side.one, stays), (side.other, leaves)):
        population.seat(candidate)
        assert list(population.thaw(population.park(candidate))) == list(population.rows[:2])
    side.train(side.one, EPOCHS)

    side.train(side.other)
    parked = side.other.park(leaves)
    assert (parked.epoch, side.other.occupied) == (1, False)
    side.other.seat(third)
    side.train(side.other, 2)
    side.other.thaw(parked)  # beside the third one, in rows that were idle
    side.train(side.other)
    parked = side.other.park(leaves)
    side.train(side.other)
    side.one.thaw(parked)  # in another population of the same program
    side.train(side.one, EPOCHS - 2)
    assert [*map(len, (stays.curve, leaves.curve, third.curve))] == [EPOCHS] * 3
    assert leaves.curve == stays.curve
    assert third.curve[-1] != stays.curve[-1]
    assert not side.one.occupied


# The policy.


@pytest.mark.once
def test_power_laws_are_extrapolated_to_where_they_end():
    time = np.arange(1.0, 21.0)
    for exponent in (0.25, 0.5, 1.0, 2.0):
        whole = 0.3 + 2.0 * time**-exponent
        for known in (4, 10):
            found = extrapolated(whole[:known], 20)
            assert found.mean == pytest.approx(whole[-1], abs=2 * found.spread + 1e-9)
        assert found.spread < 0.5 * (whole[9] - 0.3)
    assert extrapolated(whole, 20) == (whole[-1], 0.0)


@pytest.mark.once
@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_what_is_almost_certain_to_end_behind_another_waits(direction, sign):
    study = optuna.create_study(
        direction=direction, storage=InMemoryStorage(), pruner=FreezeThaw(20)
    )
    good, bad, like = study.ask(), study.ask(), study.ask()
    for epoch in range(6):
        for trial, least in ((good, 0.1), (bad, 1.0), (like, 0.11)):
            trial.report(sign * (least + 0.2 / (1 + epoch)), epoch)
            waits = trial.should_prune()
            assert waits == (trial is bad and epoch >= 3)
    for epoch in range(6, 20):
        good.report(sign * 5.0, epoch)  # both were thought to be good
        like.report(sign * 5.0, epoch)
    for trial in (good, like):
        study.tell(trial, sign * 5.0)
    assert not bad.should_prune()


@pytest.mark.once
def test_a_trial_is_expected_to_end_where_its_own_epochs_do():
    """The short one has ended better than the long one will, which the long one's pruner knows."""
    study = optuna.create_study(storage=InMemoryStorage(), pruner=FreezeThaw(40))
    short, long = study.ask(), study.ask()
    for trial, epochs in ((short, 4), (long, 40)):
        trial.suggest_int("epochs", epochs, epochs)
    for epoch in range(4):
        short.report(0.5 - 0.01 * epoch, epoch)
        assert not short.should_prune()
    study.tell(short, 0.47)
    for epoch in range(12):
        long.report(1.0 + 0.2 / (1 + epoch), epoch)
        assert long.should_prune() == (epoch >= 7)  # a fifth of the longest


class Whims(FreezeThaw):
    """Lets every trial wait after its first epoch, once, and the one numbered 1 for ever."""

    def __init__(self):
        super().__init__(EPOCHS)
        self._seen = set()

    def prune(self, study, trial):
        if trial.number == 1:
            return True
        new = trial.number not in self._seen
        self._seen.add(trial.number)
        return new


@pytest.mark.parametrize("form", FORMS)
def test_trials_that_wait_go_on_where_they_were_or_are_told_as_pruned(form):
    task = small_task(epochs=EPOCHS)
    engine = PopulationEngine(2, form)
    found = search(engine, task, trials=5, folds=2, pruner=Whims())
    expected = search(FitEngine(), task, trials=5, folds=2)
    for trial, whole in zip(found.study.trials, expected.study.trials, strict=True):
        known = list(trial.intermediate_values.values())
        np.testing.assert_allclose(known, [*whole.intermediate_values.values()][: len(known)], 1e-4)
        gave_up = trial.number == 1
        assert trial.state == (TrialState.PRUNED if gave_up else TrialState.COMPLETE)
        assert trial.user_attrs["epochs"] == len(known) == (1 if gave_up else EPOCHS)
        assert trial.user_attrs.get("thawed", 0) == (0 if gave_up else 1)


@pytest.mark.once
def test_an_error_fails_what_is_parked_too_and_says_so():
    def fail(study, trial):
        raise LookupError("not now")

    result = search(None, small_task(epochs=EPOCHS), pruner=Whims())
    with pytest.raises(LookupError):
        result.run(5, PopulationEngine(2, "vectorized"), callbacks=[fail])
    states = {trial.number: trial.state for trial in result.study.trials}
    assert states[0] == TrialState.COMPLETE
    assert TrialState.RUNNING not in states.values()
    assert result.study.trials[1].user_attrs["error"] == "LookupError: not now"
    result.run(5, PopulationEngine(2, "vectorized"))
    assert len(result.finished_trials) == 5
