"""Rows that are parked and put back train as if they had never left."""

import keras
import pytest

from keras_optim_lab.optimizers import Adam
from keras_optim_lab.tuning.engines.clock import Clock
from keras_optim_lab.tuning.engines.engine import Candidate, runs_of_a_trial
from keras_optim_lab.tuning.engines.population import AtOnce, Population
from keras_optim_lab.tuning.spaces.configuration import Configuration
from tests.tuning.populations import FORMS, Rows, ten_steps

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

    def __init__(self, seed, rate):
        configuration = Configuration("adam", {"learning_rate": rate})
        super().__init__(configuration, runs_of_a_trial(seed, 2, None), None, "val_loss", None)
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
        rows = Rows(ten_steps(noisy_and_normalized, samples=24, epochs=EPOCHS), Adam(), 4, form)
        parts = rows.epoch, rows.program, rows.data
        self.one, self.other = Population(*parts, range(4), 2), Population(*parts, range(4, 8), 2)

    def train(self, population, epochs=1):
        for _ in range(epochs):
            population.start(AtOnce(), Clock())
            population.finish()


@pytest.mark.parametrize("form", FORMS)
def test_a_candidate_that_is_parked_goes_on_as_if_it_had_stayed(form):
    side = Side(form)
    stays, leaves, third = Kept(5, 0.01), Kept(5, 0.01), Kept(7, 0.1)
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
