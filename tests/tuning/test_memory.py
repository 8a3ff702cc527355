"""How much memory a population is predicted to need, and what happens where there is less."""

import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_optim_lab.optimizers import Adam, GradientDescent
from keras_optim_lab.tuning.asked import Asked
from keras_optim_lab.tuning.engines import memory, population_engine
from keras_optim_lab.tuning.engines.batches import on_device
from keras_optim_lab.tuning.engines.memory import Need, check_width_fits
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.engines.pure_model import PureModel
from keras_optim_lab.tuning.engines.width import chosen_width
from tests.studies import small_task
from tests.tuning.populations import Rows, search

layers = keras.layers


def wide_model():
    return keras.Sequential(
        [
            keras.Input((20,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(1),
        ]
    )


def wide_task(**changes):
    rng = np.random.default_rng(0)

    def split(samples):
        return rng.normal(size=(samples, 20)).astype("float32"), np.zeros((samples, 1), "float32")

    arguments = {"model": wide_model, "train": split(64), "validation": split(16)}
    return small_task(**{**arguments, "test": None, "batch_size": 16, **changes})


@pytest.fixture(scope="module")
def need():
    return Need.of(PureModel(wide_task(), Adam(), train_metrics=False), [Adam()])


@pytest.fixture
def with_free(monkeypatch):
    """Lets so many bytes be free."""

    def use(free):
        monkeypatch.setattr(memory, "free_memory", lambda: free)
        monkeypatch.setattr("keras_optim_lab.tuning.engines.width.free_memory", lambda: free)

    return use


# The prediction.


def test_the_need_counts_data_and_weights_with_their_slots(need):
    weights = 4 * (20 * 64 + 64 + 64 * 64 + 64 + 64 + 1)
    assert need.data == 4 * (64 + 16) * (20 + 1)
    # As they are and as they become: weights and two slots, and a few numbers of metrics.
    assert 0 <= need.row - 2 * 3 * weights < 100
    assert need.step > weights


def test_the_need_is_that_of_the_optimizer_with_the_largest_state(need):
    model = PureModel(wide_task(), Adam(), train_metrics=False)
    for optimizers in ([Adam(), GradientDescent()], [GradientDescent(), Adam()]):
        assert Need.of(model, optimizers) == need
    assert (
        Need.of(model, [GradientDescent()]).row
        < need.row
        < Need.of(model, [Adam(amsgrad=True)]).row
    )


@pytest.mark.parametrize("at_once", [1, 2, 10_000])
def test_the_need_grows_by_the_same_for_every_row(need, at_once):
    widths = [10_000, 20_000, 30_000] if at_once < 10_000 else [100, 200, 300]
    one, two, three = (need.of_width(width, at_once) for width in widths)
    assert three - two == two - one > 0
    stepping = need.step if at_once == 10_000 else 0
    assert two - one == (widths[1] - widths[0]) * (need.row + stepping)


@pytest.mark.parametrize("at_once", [None, 2])
@pytest.mark.parametrize("rows", [1, 3, 64])
def test_the_widest_population_fits_and_one_row_more_does_not(need, at_once, rows):
    stepping = rows if at_once is None else at_once
    free = need.data + rows * need.row + stepping * need.step + need.row // 2
    widest = need.widest(free, at_once)
    assert widest == rows
    assert need.of_width(widest, at_once or widest) <= free or widest < at_once
    assert need.of_width(widest + 1, at_once or widest + 1) > free or widest < (at_once or 0)


@pytest.mark.only("jax")  # which alone tells how much memory a program takes
def test_a_compiled_population_stays_below_its_prediction_and_near_it(need):
    task = wide_task()
    model = PureModel(task, Adam(), train_metrics=False)
    for width in (4, 16):
        rows = Rows(task, Adam(), width, "vectorized", model)
        state = keras.tree.flatten(rows.epoch.empty())
        taken = rows.program._call.memory_analysis().temp_size_in_bytes + sum(
            tensor.nbytes for tensor in state
        )
        taken += sum(tensor.nbytes for tensor in keras.tree.flatten(on_device(task)))
        predicted = need.of_width(width, width)
        assert predicted / 4 <= taken <= predicted


def test_some_memory_is_free_here():
    assert 2**20 < memory.free_memory() < 2**50


# Where there is less.


def test_data_that_do_not_fit_are_refused_before_a_model_is_built_to_be_trained(with_free):
    built = []

    def model():
        built.append(wide_model())
        return built[-1]

    result = search(None, wide_task(model=model, train=_of_mebibytes(3)), name="large")
    built.clear()  # what the study looked at
    with_free(2 * 2**20)
    with pytest.raises(MemoryError, match=r"data of task 'small' need 3 MiB.*2 MiB are free"):
        result.run(2, PopulationEngine(2))
    assert built == []
    assert result.study.trials == []


def _of_mebibytes(count):
    samples = count * 2**20 // (4 * 21)
    return np.zeros((samples, 20), "float32"), np.zeros((samples, 1), "float32")


def test_a_width_that_does_not_fit_is_refused_and_the_widest_that_does_is_named(need, with_free):
    free = need.of_width(5, 5) + 10
    with_free(free)
    with pytest.raises(MemoryError, match=r"population=9 needs about .*are free") as refused:
        check_width_fits(need, 9, None)
    widest = int(re.search(r"widest that fits is population=(\d+)", str(refused.value)).group(1))
    assert widest == 5
    check_width_fits(need, widest, None)
    with pytest.raises(MemoryError):
        check_width_fits(need, widest + 1, None)


def test_a_study_of_a_width_that_does_not_fit_asks_for_no_trial(need, with_free, monkeypatch):
    with_free(need.of_width(5, 5))
    monkeypatch.setattr(population_engine.Epoch, "program", _never)
    result = search(None, wide_task())
    with pytest.raises(MemoryError, match="population=500 needs about"):
        result.run(1000, PopulationEngine(500))
    assert result.study.trials == []


def _never(*arguments):
    raise AssertionError("must not be compiled")


@pytest.mark.parametrize("form", ["vectorized", "looped"])
@pytest.mark.parametrize("rows", [1, 2, 5, 30, 1000])
def test_the_automatic_width_never_takes_more_than_is_free(need, with_free, form, rows):
    workers = 2 if form == "looped" else None
    free = need.of_width(rows, workers or rows) + need.row // 2
    with_free(free)
    candidates = Asked(search(None, wide_task()), 400, ())
    run = population_engine._Run(wide_task(), candidates, "auto", form)
    at_once = run.width if workers is None else run._workers
    assert 1 <= run.width <= max(rows, 1)
    assert need.of_width(run.width, at_once) <= max(free, need.of_width(1, 1))


def test_the_automatic_width_is_refused_where_not_even_one_row_fits(need, with_free):
    with_free(need.data + need.row)
    result = search(None, wide_task())
    with pytest.raises(MemoryError, match="widest that fits is population=0"):
        result.run(1, PopulationEngine())
    assert result.study.trials == []


def test_the_automatic_width_is_refused_where_the_folds_of_a_trial_do_not_fit(need, with_free):
    with_free(need.of_width(2, 2))
    result = search(None, wide_task(), folds=3)
    with pytest.raises(MemoryError, match=r"has 3 runs, .* only 2 rows fit .* pass folds=None"):
        result.run(1, PopulationEngine())
    assert result.study.trials == []


@pytest.mark.parametrize("runs", [1, 3])
def test_the_automatic_width_has_room_for_all_seeds_of_a_trial(with_free, runs):
    result = search(None, wide_task(), seeds_per_trial=runs)
    run = population_engine._Run(wide_task(), Asked(result, 4, ()), "auto", None)
    assert run.width % runs == 0
    assert run.width >= runs


@pytest.mark.once("torch")
@pytest.mark.parametrize(
    ("trials", "runs", "at_once", "vectorized", "width"),
    [
        (24, 1, 2, True, 12),  # two rounds of twelve, not one of sixteen and one half empty
        (24, 1, None, True, 24),
        (65, 1, None, True, 33),
        (10, 4, 2, True, 16),  # of four trials in each of three rounds
        (24, 1, 2, False, 2),  # rows that follow each other cost nothing while they are free
    ],
)
def test_as_few_rows_step_together_as_need_no_more_rounds(trials, runs, at_once, vectorized, width):
    candidates = SimpleNamespace(runs=runs, left=trials, at_once=at_once)
    need = Need(data=0, row=1, step=1)
    assert chosen_width("auto", candidates, need, 10, 2, vectorized) == width
