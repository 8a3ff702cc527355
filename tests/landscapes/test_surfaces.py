"""What is said of a surface is true."""

import numpy as np
import pytest
from keras import ops

from keras_optim_lab import backend
from keras_optim_lab.landscapes import surfaces

WITH_MINIMA = [name for name in surfaces.names() if surfaces.get(name).minima]
SADDLES = ["saddle", "monkey-saddle"]


@pytest.fixture(scope="module", autouse=True)
def exact():
    with backend.derivatives().precision("float64"):
        yield


def values(surface, points):
    return np.asarray(ops.convert_to_numpy(surface(np.asarray(points, "float64"))))


def gradient(surface, point, h=1e-5):
    steps = h * np.eye(surface.dimension)
    return (values(surface, point + steps) - values(surface, point - steps)) / (2 * h)


def hessian(surface, point, h=1e-4):
    steps = h * np.eye(surface.dimension)
    sides = [point + a * steps[:, None] + b * steps for a in (1, -1) for b in (1, -1)]
    plus, mixed, also, minus = (values(surface, side) for side in sides)
    return (plus - mixed - also + minus) / (4 * h * h)


@pytest.mark.parametrize("name", WITH_MINIMA)
def test_the_minima_are_stationary_curve_upwards_and_have_one_value(name):
    surface = surfaces.get(name)
    minima = np.array(surface.minima)
    np.testing.assert_allclose(values(surface, minima), values(surface, minima)[0], atol=1e-6)
    low, high = np.transpose(surface.bounds)
    assert np.all((low <= minima) & (minima <= high))
    for minimum in minima:
        # Ackley has a kink there: the gradient between both sides.
        np.testing.assert_allclose(gradient(surface, minimum), 0, atol=2e-5)
        assert np.all(np.linalg.eigvalsh(hessian(surface, minimum)) > 0)


@pytest.mark.once
@pytest.mark.parametrize("name", WITH_MINIMA)
def test_a_search_over_the_whole_surface_finds_nothing_lower_and_no_further_minimum(name):
    surface = surfaces.get(name)
    least = values(surface, surface.minima).min()
    low, high = np.transpose(surface.bounds)
    best = np.random.default_rng(0).uniform(low, high, (20_000, surface.dimension))
    width, draw = (high - low) / 20, np.random.default_rng(1)
    for _ in range(30):  # ever closer around the hundred lowest places
        best = best[np.argsort(values(surface, best))[:100]]
        near = best + width * draw.standard_normal((20, *best.shape))
        best = np.concatenate([best[None], near]).reshape(-1, surface.dimension)
        width = 0.7 * width
    found = values(surface, best)
    assert found.min() >= least - 1e-9
    lowest = best[found < least + 1e-4]
    away = np.linalg.norm(np.array(surface.minima)[:, None] - lowest, axis=-1)
    assert len(lowest)
    assert away.min(axis=0).max() < 0.1


@pytest.mark.parametrize("name", SADDLES)
def test_a_saddle_is_flat_at_the_origin_and_falls_without_end(name):
    surface = surfaces.get(name)
    assert surface.minima == ()
    assert surface.minimum is None
    np.testing.assert_allclose(gradient(surface, np.zeros(2)), 0, atol=1e-8)
    assert np.linalg.eigvalsh(hessian(surface, np.zeros(2)))[0] <= 1e-7
    angles = np.linspace(0, 2 * np.pi, 13)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    assert values(surface, 1e3 * circle).min() < -1e5


@pytest.mark.once
@pytest.mark.parametrize("name", surfaces.names())
def test_the_start_and_random_starts_lie_within_the_bounds(name):
    surface = surfaces.get(name)
    low, high = np.transpose(surface.bounds)
    for points in (np.array([surface.start]), surface.random_starts(50)):
        assert points.shape[-1] == surface.dimension
        assert np.all((low <= points) & (points <= high))
    assert np.all(surface.random_starts(5, seed=1) == surface.random_starts(5, seed=1))
    assert np.any(surface.random_starts(5, seed=1) != surface.random_starts(5, seed=2))


@pytest.mark.parametrize("dimension", [2, 3, 7])
def test_rosenbrock_has_its_minimum_in_any_dimension(dimension):
    surface = surfaces.get("rosenbrock", dimension=dimension)
    assert values(surface, np.ones(dimension)) == 0
    assert np.all(np.linalg.eigvalsh(hessian(surface, np.ones(dimension))) > 0)
    assert values(surface, np.zeros(dimension)) == dimension - 1
    assert values(surface, surface.start[:2] + (0.0,) * (dimension - 2)) >= 24.2 - 1e-9


@pytest.mark.once
def test_the_condition_number_is_the_one_that_was_asked_for():
    curvatures = np.linalg.eigvalsh(
        hessian(surfaces.get("ill-conditioned", condition=50.0), np.zeros(2))
    )
    assert curvatures[1] / curvatures[0] == pytest.approx(50.0, rel=1e-4)


def test_noise_changes_the_gradient_by_its_standard_deviation_and_not_the_surface():
    surface = surfaces.get("noisy", noise=0.5)
    point = np.array([2.0, -1.0])
    corners = np.stack([point + np.eye(2), point - np.eye(2)])
    seen = np.array([np.subtract(*values_at(surface, corners, t)) for t in range(200)])
    noise = seen / 2 - point
    assert noise.std(axis=0) == pytest.approx(0.5, rel=0.15)
    assert abs(noise.mean(axis=0)) == pytest.approx([0, 0], abs=0.15)
    assert np.all(values_at(surface, corners, 7) == values_at(surface, corners, 7))
    assert values(surface, point) == 2.5


def values_at(surface, point, step):
    return np.asarray(ops.convert_to_numpy(surface.at_step(ops.convert_to_tensor(point), step)))


@pytest.mark.once
def test_a_surface_is_found_by_any_writing_of_its_name_and_unknown_ones_are_told():
    assert surfaces.get("Three_Hump camel") is surfaces.get("three-hump-camel")
    with pytest.raises(ValueError, match=r"no surface 'rosenbrok'. Did you mean 'rosenbrock'"):
        surfaces.get("rosenbrok")
    with pytest.raises(ValueError, match=r"'beale' takes no parameters. Received: dimension"):
        surfaces.get("beale", dimension=3)
    with pytest.raises(ValueError, match=r"`dimension` must be .* ≥ 2. Received: dimension=1"):
        surfaces.get("rosenbrock", dimension=1)
    with pytest.raises(ValueError, match=r"`condition` must be a number ≥ 1. Received: 0.5"):
        surfaces.get("ill-conditioned", condition=0.5)
    with pytest.raises(ValueError, match=r"`noise` must be a number ≥ 0. Received: -1"):
        surfaces.get("noisy", noise=-1)
    for name, argument in (("noisy", "noise"), ("ill-conditioned", "condition")):
        with pytest.raises(ValueError, match=f"`{argument}` must be a number"):
            surfaces.get(name, **{argument: 10**400})
    with pytest.raises(
        ValueError,
        match=r"`dimension` must be a whole number ≤ 1,000,000. Received: dimension=100000",
    ):
        surfaces.get("rosenbrock", dimension=10**12)
