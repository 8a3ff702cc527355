"""Opened in a browser, a report draws every figure, asks nothing of the network and fits."""

import itertools
import re
from pathlib import Path

import pytest

from keras_optim_lab.reports.report import verdict, write_report
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning.evaluation import evaluate
from tests.reports.examples import BETTER, EXAMPLES, study_of
from tests.studies import small_task

pytestmark = pytest.mark.once


class Opened:
    """A page in a browser, and what it asked of the network or wrote on the console."""

    def __init__(self, browser, path, width=1100):
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(120_000)
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.url = path.resolve().as_uri()
        self.page.goto(self.url, wait_until="load")
        # Figures are drawn in promises; a rendered frame comes after them.
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => done()))")

    def drawn(self):
        """For every figure its id, its drawings, and the marks in them: points, lines, boxes."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll('.plotly-graph-div')].map(figure => [
                figure.id,
                figure.querySelectorAll('.main-svg').length,
                figure.querySelectorAll(
                    '.trace .point, .trace path.js-line, .trace path.box'
                ).length,
            ])"""
        )


@pytest.fixture
def opened(browser):
    pages = []

    def open_page(path, width=1100):
        pages.append(Opened(browser, path, width))
        return pages[-1]

    yield open_page
    for shown in pages:
        shown.page.close()


def all_examples():
    """The reports of all examples as one page, since Plotly takes seconds to load."""
    bodies = []
    for example, (make, evaluation, _) in EXAMPLES.items():
        page = write_report(make(), evaluation, Path("part.html")).read_text(encoding="utf-8")
        head, body = re.match(r"(.*<body>)(.*)</body>", page, flags=re.DOTALL).groups()
        bodies.append(body.replace("figure-", f"{example}-"))
    path = Path("all.html")
    path.write_text(f"{head}{''.join(bodies)}</body></html>", encoding="utf-8")
    return path


def test_every_figure_of_every_study_draws(opened):
    page = opened(all_examples())
    drawn = page.drawn()
    assert len(drawn) == sum(figure_count for _, _, figure_count in EXAMPLES.values())
    assert [figure for figure, drawings, _ in drawn if drawings == 0] == []
    assert [figure for figure, _, marks in drawn if marks == 0] == []
    assert page.complaints == []


def test_the_report_of_real_runs_needs_nothing_but_its_file_and_shows_what_they_gave(opened):
    result = TuningResult.create(small_task(), "adam", name="real")
    result.run(2)
    page = opened(result.report(seeds=1))
    assert page.page.inner_text(".result") == verdict(result, evaluate(result, seeds=1))
    assert page.page.title() == "Adam on small"
    assert all(drawings and marks for _, drawings, marks in page.drawn())
    assert page.requests == [page.url]
    assert page.complaints == []


@pytest.mark.parametrize("width", [1100, 390])
def test_nothing_runs_off_the_side_of_the_screen_or_covers_its_neighbour(opened, width):
    page = opened(write_report(study_of(), BETTER, Path("page.html")), width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('.plotly-graph-div')].map(figure => {
            const box = figure.querySelector('.main-svg').getBoundingClientRect();
            const scrolled = Boolean(figure.closest('.wide'));
            return {left: box.left, right: scrolled ? 0 : box.right, top: box.top};
        })"""
    )
    assert len(boxes) == 8
    for box, following in itertools.pairwise(boxes):
        assert box["right"] <= width
        assert following["top"] > box["top"] or following["left"] >= box["right"]
