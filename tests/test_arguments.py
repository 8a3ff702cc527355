"""Whole numbers are checked alike wherever one is asked for."""

import numpy as np
import optuna
import pytest

import keras_optim_lab as kol
from keras_optim_lab.comparison.plan import make_plan
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import confirmation, evaluation
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from tests.studies import Formula, small_model, small_task

pytestmark = pytest.mark.once


def _rate(**count):
    model = small_model()
    model.compile("adam", "mean_squared_error")
    return kol.find_learning_rate(model, np.ones((8, 3)), np.ones((8, 1)), **count)


def _study(**count):
    storage = optuna.storages.InMemoryStorage()
    return TuningResult.create(small_task(), "adam", storage=storage, name="counted", **count)


def _run():
    study = _study()
    study.run(1, Formula())
    return study


def _plan(steps=(1,), seed=0):
    return make_plan(small_task(), ["adam"], ["jax"], steps, seed, None)


def _rosenbrock(x):
    return (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2


def _fourth(x):
    return x**4


# Every argument of a public function that is a count: called with it alone.
COUNTS = {
    "race steps": lambda n: kol.race("rosenbrock", ["adam"], steps=n),
    "trace steps": lambda n: kol.trace("adam", "x**2", 0.5, steps=n),
    "derivative order": lambda n: kol.derivative(_fourth, np.ones((2, 1), "float32"), order=n),
    "rosenbrock dimension": lambda n: kol.surfaces.rosenbrock(n),
    "find_learning_rate steps": lambda n: _rate(steps=n),
    "find_learning_rate batch_size": lambda n: _rate(steps=2, batch_size=n),
    "task batch_size": lambda n: small_task(batch_size=n),
    "task epochs": lambda n: small_task(epochs=n),
    "population": lambda n: PopulationEngine(n),
    "study seeds_per_trial": lambda n: _study(seeds_per_trial=n),
    "study trials": lambda n: _study().run(n, Formula()),
    "confirm top": lambda n: confirmation.confirm(_run(), n, engine=Formula()),
    "evaluate seeds": lambda n: evaluation.evaluate(_run(), n, engine=Formula()),
    "suggest steps": lambda n: kol.suggest(optuna.create_study().ask(), "adam", steps=n),
    "compare_backends steps": lambda n: _plan(steps=n),
    "OptunaOracle max_trials": lambda n: kol.keras_tuner.OptunaOracle("loss", max_trials=n),
    "WarmupDecay steps": lambda n: kol.schedules.WarmupDecay(0.1, n),
    "WarmupStableDecay steps": lambda n: kol.schedules.WarmupStableDecay(0.1, n),
    "OneCycle steps": lambda n: kol.schedules.OneCycle(0.1, n),
    "InverseSquareRoot warmup_steps": lambda n: kol.schedules.InverseSquareRoot(0.1, n),
    "Lookahead steps": lambda n: kol.Lookahead("adam", steps=n),
    "Muon steps": lambda n: kol.Muon(steps=n),
    "Shampoo precondition_every": lambda n: kol.Shampoo(precondition_every=n),
    "LBFGS history": lambda n: kol.LBFGS(history=n),
}
# Of these 0 is one as well.
FROM_ZERO = {
    "minimize steps": lambda n: kol.minimize(_rosenbrock, np.zeros(2), steps=n),
    "study seed": lambda n: _study(seed=n),
    "race seed": lambda n: kol.race("rosenbrock", ["adam"], steps=1, seed=n),
    "compare_backends seed": lambda n: _plan(seed=n),
}

everywhere = pytest.mark.parametrize("name", [*COUNTS, *FROM_ZERO])


@everywhere
def test_a_whole_number_of_numpy_is_one(name):
    ({**COUNTS, **FROM_ZERO}[name])(np.int64(8))


@pytest.mark.parametrize("value", [True, np.True_, 2.5], ids=repr)
@everywhere
def test_what_is_no_whole_number_is_refused_by_its_name(name, value):
    argument = name.split()[-1]
    with pytest.raises((TypeError, ValueError), match=rf"{argument}\b.*Received: .*{value}"):
        ({**COUNTS, **FROM_ZERO}[name])(value)


@pytest.mark.parametrize("name", COUNTS)
def test_no_count_is_refused_by_its_name(name):
    with pytest.raises(ValueError, match=rf"{name.split()[-1]}\b.*Received: .*\b0\b"):
        COUNTS[name](0)


@pytest.mark.parametrize("name", FROM_ZERO)
def test_zero_is_accepted_where_nothing_may_be_asked_for(name):
    FROM_ZERO[name](0)
