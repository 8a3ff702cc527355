"""Pictures of a race show every method, where it went and what became of it."""

import numpy as np
import pytest
from PIL import Image, ImageColor

from keras_optim_lab import optimizers
from keras_optim_lab.landscapes import race_figures as figures
from keras_optim_lab.landscapes import surfaces
from keras_optim_lab.landscapes.race import Race
from keras_optim_lab.landscapes.standings import Runner
from keras_optim_lab.landscapes.view import COLORS, View

pytestmark = pytest.mark.once


def runner(name, optimizer, points, surface, arrived=None):
    points = np.asarray(points, "float32")
    values = np.asarray(surface(points), "float32")
    return Runner(name, optimizer, points, values, arrived)


@pytest.fixture(scope="module")
def plane():
    """Three methods on a bowl: one that arrives, one that leaves the picture, one that diverges."""
    bowl = surfaces.get("booth")
    straight = np.linspace([-8.0, 8.0], [1.0, 3.0], 12)
    away = np.linspace([-8.0, 8.0], [30.0, 8.0], 12)
    lost = np.linspace([-8.0, 8.0], [0.0, 0.0], 12)
    lost[6:] = [[1e25, 1e25]] + [[np.nan, np.nan]] * 5
    runners = (
        runner("Adam", optimizers.Adam(0.1), straight, bowl, arrived=9),
        runner("Away", optimizers.Adam(0.5), away, bowl),
        runner("Lost", optimizers.GradientDescent(3.0), lost, bowl),
    )
    return Race(bowl, runners, tuned=True)


@pytest.fixture(scope="module")
def line():
    """Gradient descent and Newton on a curve."""
    curve = surfaces.of_formula("x**4/4 - x**2 + x/4 + 2", bounds=[(-2.5, 2.5)], start=(2.3,))
    down = np.linspace([2.3], [1.4], 8)
    runners = (
        runner("GradientDescent", optimizers.GradientDescent(0.05), down, curve),
        runner("Newton", optimizers.get("newton"), down, curve),
    )
    return Race(curve, runners, tuned=False)


def test_labels_say_what_became_of_each_method(plane):
    view = View(plane)
    assert [view.label(each) for each in plane.runners] == [
        "Adam, η = 0.1: step 9",
        "Away, η = 0.5: leaves the picture at step 6",
        "Lost, η = 3: diverged at step 6",
    ]
    assert [row[-1] for row in plane.table()[1]] == ["step 9", "–", "diverged at step 6"]


def test_no_number_of_a_drawing_is_beyond_what_can_be_drawn(plane):
    view = View(plane)
    for each in plane.runners:
        assert np.all(abs(view.trail(each, 11)) < 1e3)
        assert np.all(np.isfinite(view.losses(each)))


def test_every_frame_moves_every_method_and_is_redrawn(plane, line):
    for figure, per_runner, count in (
        (figures.contours(View(plane)), 3, 3),
        (figures.relief(View(plane)), 2, 3),
        (figures.graph(View(line)), 4, 2),
    ):
        assert all(len(frame.data) == per_runner * count for frame in figure.frames)
        assert len({frame.name for frame in figure.frames}) == len(figure.frames) > 5
        play, pause = figure.layout.updatemenus[0].buttons
        steps = figure.layout.sliders[0].steps
        assert [step.label for step in steps] == [frame.name for frame in figure.frames]
        for moved in (play, pause, *steps):
            assert moved.args[1]["frame"]["redraw"] is True


def test_newton_draws_the_parabola_of_its_step_and_the_others_draw_tangents(line):
    view = View(line)
    tangent, parabola = (view.touching(each, 3) for each in line.runners)
    assert (tangent.kind, parabola.kind) == ("tangent", "parabola")
    assert np.ptp(np.diff(tangent.y)) < 1e-6
    x = float(line.runners[1].points[3, 0])
    slope, curvature = x**3 - 2 * x + 0.25, 3 * x**2 - 2
    lowest = x - slope / curvature
    assert parabola.x[np.argmin(parabola.y)] == pytest.approx(lowest, abs=0.1)


def test_colours_are_those_that_all_can_tell_apart(plane):
    assert len(set(COLORS)) == len(COLORS) == 8
    assert View(plane).colors == ["#0072B2", "#D55E00", "#009E73"]


def test_heights_are_logarithmic_above_a_known_minimum_only(plane, line):
    heights = View(plane).heights
    assert np.ptp(heights) < 5
    np.testing.assert_array_equal(View(line).heights, View(line).values)


def painted(image):
    return {color for _, color in image.convert("RGB").getcolors(1 << 16)}


def test_a_picture_is_written_by_its_ending(plane, line, tmp_path):
    still = plane.picture(tmp_path / "new" / "race.png")
    with Image.open(still) as image:
        assert image.size == (1100, 520)
        assert set(map(ImageColor.getrgb, View(plane).colors)) <= painted(image)
    with Image.open(line.picture(tmp_path / "race.gif")) as image:
        assert image.n_frames == len(View(line).frames)
        assert image.info["loop"] == 0
        assert set(map(ImageColor.getrgb, View(line).colors)) <= painted(image)
    with pytest.raises(ValueError, match=r"is a \.gif or a \.png\. Received: 'race\.jpg'"):
        plane.picture(tmp_path / "race.jpg")


def test_more_than_two_dimensions_cannot_be_drawn():
    surface = surfaces.get("rosenbrock", dimension=3)
    points = np.zeros((4, 3), "float32")
    race = Race(surface, (runner("Adam", optimizers.Adam(), points, surface),), tuned=False)
    with pytest.raises(ValueError, match=r"one or two dimensions\. Received: rosenbrock in 3"):
        View(race)


def test_the_page_needs_nothing_but_its_file_plays_with_its_contours_and_fits_a_telephone(
    plane, browser, tmp_path
):
    path = plane.html(tmp_path / "race.html")
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.set_default_timeout(120_000)
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.resolve().as_uri(), wait_until="load")
    contours = "document.querySelectorAll('.contourlayer path').length"
    assert page.evaluate(contours) > 10
    page.evaluate(
        """() => Plotly.animate('figure-1', ['3'],
            {frame: {duration: 0, redraw: true}, mode: 'immediate'})"""
    )
    assert page.evaluate(contours) > 10
    moved = page.evaluate(
        "document.getElementById('figure-1')._fullData.map(each => each.x.length)"
    )
    assert 4 in moved
    page.wait_for_function(
        "[...document.querySelectorAll('.plotly-graph-div')].every(each => each.layout.height)"
    )
    tops, bottoms = page.evaluate(
        """() => {
            const boxes = ['#figure-1 .main-svg', 'table', '#figure-2 .main-svg', 'table.text'].map(
                each => document.querySelector(each).getBoundingClientRect());
            return [boxes.map(each => each.top), boxes.map(each => each.bottom)];
        }"""
    )
    assert all(bottom <= top for bottom, top in zip(bottoms, tops[1:], strict=False))
    right = "Math.max(...[...document.querySelectorAll('.main-svg')].map({}))"
    assert page.evaluate(right.format("each => each.getBoundingClientRect().right")) <= 390
    assert errors == []
    assert requests == [path.resolve().as_uri()]
    page.close()
