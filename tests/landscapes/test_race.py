"""Races run what they say, from where they say, and their pictures show it."""

import numpy as np
import pytest
from keras import ops

from keras_optim_lab import optimizers
from keras_optim_lab.functional import Functional
from keras_optim_lab.landscapes import surfaces
from keras_optim_lab.landscapes.arrival import arrivals
from keras_optim_lab.landscapes.paths import Paths, descent
from keras_optim_lab.landscapes.race import race
from keras_optim_lab.landscapes.rates import rate_range, scores, tuned_rates

BOWL = surfaces.get("ill-conditioned", condition=4.0)
BOOTH = surfaces.get("booth")


def test_paths_are_those_of_the_rule_with_the_rate_of_their_row():
    optimizer = optimizers.Adam(0.5)
    starts = np.array([[[1.0, 2.0], [-3.0, 0.5]], [[0.0, 0.0], [4.0, -1.0]]], "float32")
    rates = np.array([[0.1, 0.2], [0.3, 0.4]])
    paths = descent(optimizer, [BOWL, BOOTH], 2, steps=3)(starts, 3, learning_rate=rates)
    assert paths.points.shape == (2, 2, 4, 2)
    assert paths.values.shape == (2, 2, 4)
    for i, surface in enumerate((BOWL, BOOTH)):
        np.testing.assert_allclose(
            paths.values[i], ops.convert_to_numpy(surface(paths.points[i])), rtol=1e-5
        )
    functional = Functional(optimizer)
    w = ops.convert_to_tensor(starts[1, 1])
    state = functional.init([w])
    for point in paths.points[1, 1]:
        np.testing.assert_allclose(ops.convert_to_numpy(w), point, rtol=1e-5)
        x, y = (float(part) for part in ops.convert_to_numpy(w))
        g = [2 * (x + 2 * y - 7) + 4 * (2 * x + y - 5), 4 * (x + 2 * y - 7) + 2 * (2 * x + y - 5)]
        (w,), state = functional.update(
            [w], [ops.convert_to_tensor(g, "float32")], state, learning_rate=0.4
        )


def test_a_tuned_race_arrives_sooner_and_newton_takes_one_step():
    entered = {"slow": optimizers.GradientDescent(1e-3), "Newton": optimizers.get("newton")}
    plain = race(BOOTH, entered, steps=40)
    tuned = race(BOOTH, {"tuned": entered["slow"]}, steps=40, tune=True)
    slow, newton = plain.runners
    assert slow.arrived is None
    assert newton.arrived == 1
    (fast,) = tuned.runners
    assert fast.arrived is not None
    assert fast.arrived < 40
    assert float(entered["slow"].learning_rate) == pytest.approx(1e-3)
    assert [row[-1] for row in plain.table()[1]] == ["–", "step 1"]


# What does not depend on the backend.


def walk(points, value=lambda x, y: (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2):
    points = np.asarray(points, "float32")
    with np.errstate(over="ignore"):
        return Paths(points, value(*points.T))


@pytest.mark.once
def test_arrival_is_the_step_from_which_on_a_path_stays():
    there, away = [1.0, 3.0], [5.0, 5.0]
    assert arrivals(BOOTH, walk([away, there, away, there, there, there])) == 3
    assert arrivals(BOOTH, walk([there] * 4)) == 0
    assert np.isnan(arrivals(BOOTH, walk([away, there, away])))
    assert np.isnan(arrivals(BOOTH, walk([away] * 30 + [there])))  # passes by at the end
    assert np.isnan(arrivals(BOOTH, walk([away, [np.nan, np.nan]])))
    saddle, slopes = surfaces.get("saddle"), lambda x, y: x**2 - y**2
    assert arrivals(saddle, walk([[1, 0], [0, 0.5], [0, 2], [0, 9]], slopes)) == 2
    assert np.isnan(arrivals(saddle, walk([[0, 3], [0, 0], [0, 0]], slopes)))
    assert np.isnan(arrivals(surfaces.of_formula("x*y"), walk([there] * 4)))


@pytest.mark.once
def test_a_run_that_arrives_sooner_is_better_and_a_lower_end_is_better_than_a_divergence():
    there, near, away = [1.0, 3.0], [1.2, 3.0], [8.0, 8.0]
    paths = [
        walk([away, there, there, there]),
        walk([away, away, there, there]),
        walk([away, away, away, near]),
        walk([away, away, away, [-9.0, -9.0]]),
        walk([away, away, [1e30, 1e30], [np.nan, np.nan]]),
    ]
    found = [float(scores(BOOTH, path)) for path in paths]
    assert found == sorted(found)
    assert len(set(found)) == len(found)


@pytest.mark.once
def test_rates_are_searched_in_a_wider_range_than_that_of_networks():
    searched = rate_range(optimizers.Adam)
    field = optimizers.Adam.numeric["learning_rate"].search
    assert searched.low == pytest.approx(field.low / 100)
    assert searched.high == pytest.approx(field.high * 100)
    for name in ("newton", "newton_cg", "lbfgs"):
        assert rate_range(optimizers.entry(name).cls) is None


@pytest.mark.once
def test_a_curvature_method_that_searches_no_length_gets_the_best_of_the_rates_that_were_tried():
    optimizer = optimizers.get("adahessian")
    follow = descent(optimizer, [BOOTH], 4)
    tried = []

    def watched(starts, steps, learning_rate):
        paths = follow(starts, steps, learning_rate=learning_rate)
        tried.extend(zip(paths.values[0, :, -1], learning_rate[0], strict=True))
        return paths

    watched.surfaces = follow.surfaces
    (rate,) = tuned_rates(optimizer, watched, 10, width=4, rounds=2)
    assert len({rate for _, rate in tried}) == 8
    assert rate == min(tried)[1]


@pytest.mark.once
def test_a_race_that_cannot_be_run_is_refused_before_it_begins():
    with pytest.raises(ValueError, match=r"no surface 'boot'\. Did you mean 'booth'"):
        race("boot")
    with pytest.raises(
        TypeError, match=r"or a formula as text, such as .* Received: surface=<func"
    ):
        race(lambda x: x)
    with pytest.raises(ValueError, match=r"`steps` must be a whole number ≥ 1.*Received: steps=0"):
        race("booth", steps=0)
    with pytest.raises(ValueError, match=r"≤ 100,000, all of which are kept"):
        race("booth", steps=10**12)
    for start in ((np.nan, 1.0), (10**400, 1.0), (1e30, 1e30)):
        with pytest.raises(ValueError, match="the function must be finite at the start"):
            race("booth", start=start)
    with pytest.raises(ValueError, match="`seed` must be a whole number ≤ 2,147"):
        race("booth", seed=10**12)
    with pytest.raises(TypeError, match="or a dict of optimizers by name"):
        race("booth", {5: optimizers.Adam()})
    with pytest.raises(ValueError, match=r"`start` must be 2 numbers on booth"):
        race("booth", start=(1.0,))
    with pytest.raises(ValueError, match="'Adam' runs twice"):
        race("booth", ["adam", "adam"])
    with pytest.raises(TypeError, match="`optimizers` must be a list of names"):
        race("booth", "adam")
    with pytest.raises(ValueError, match="minimizes squares of residuals"):
        race("booth", ["levenberg_marquardt"])
    with pytest.raises(ValueError, match="one dimension"):
        descent(optimizers.Adam(), [BOOTH, surfaces.get("rosenbrock", dimension=3)], 1)
