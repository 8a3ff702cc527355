"""The site is built without a warning, its tables are the results', and a browser finds its way."""

import functools
import html
import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
sys.path.append(str(DOCS))

from building import formulas, mathml, prose, records  # noqa: E402

from keras_optim_lab.optimizer_page import parts  # noqa: E402
from keras_optim_lab.optimizers import entries  # noqa: E402
from keras_optim_lab.optimizers.catalogue import compositions  # noqa: E402

pytestmark = pytest.mark.once("torch")  # which has the least to do


@pytest.mark.parametrize(
    ("formula", "latex"),
    [
        ("w ← w − η g", r"w \leftarrow w - \eta  g"),
        ("m̂ / (√v̂ + ε)", r"\frac{\hat{m}}{\sqrt{\hat{v}} + \varepsilon }"),
        ("v / (1 − β₂ᵗ)", r"\frac{v}{1 - \beta _{2}^{t}}"),
        ("d ← max(d, r / ‖s‖₁)", None),
        ("(L̂ + ε λ I)^(−1/4)", None),
    ],
)
def test_a_formula_is_typeset(formula, latex):
    found = formulas.latex(formula)
    assert latex is None or found == latex
    assert mathml.mathml(found).startswith("<math")


EVERY = [*entries(), *entries(needs_objective=True), *compositions()]


@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: entry.name)
def test_nothing_of_an_optimizers_formulas_is_lost(entry):
    _, rest, _ = parts(entry.cls.__doc__)
    (text, *_) = [part for part in re.split(r"\n\s*\n", rest.strip("\n")) if part.startswith(" ")]
    for line in text.splitlines():
        if line.strip():
            drawn = html.unescape(re.sub(r"<[^>]*>", "", mathml.mathml(formulas.lines(line)[0])))
            letters = set(re.findall(r"[A-Zgmvwzβηλρ]", re.sub(r"[A-Za-z]{2,}", "", line)))
            assert letters <= set(drawn), line
    assert not re.search("^ .*←", prose.markdown(rest), re.MULTILINE)  # none is left as written


def rows(page):
    """Of a page's tables, by their first cell."""
    text = (DOCS / page).read_text("utf-8")
    for line in re.findall(r"^\| (\w+) \| (.+) \|$", text, re.MULTILINE):
        yield line[0], line[1].split(" | ")


def test_the_tables_that_choose_an_optimizer_are_those_of_the_results():
    images, signals = map(records.trained, ("optimizers-digits-cnn", "optimizers-mnist1d-cnn"))
    found, checked = records.ranks(), set()
    for name, cells in rows("which-optimizer.md"):
        if name not in found:
            continue
        if len(cells) == 2:
            shown = [f"{n.mean():.1f} ± {n.std(ddof=1) / 6**0.5:.1f}" for n in found[name]]
        else:
            runs = [
                each[f"{name}, {w}"] for each in (images, signals) for w in ("default", "tuned")
            ]
            shown = [records.spread(values) for _, values in runs]
        assert cells == shown, name
        checked.add((name, len(cells)))
    assert {("soap", 2), ("soap", 4), ("radam", 2), ("muon", 4)} <= checked


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site's address; lessons are not run for it, as other tests do."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        *(sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"),
        *("-D", "nb_execution_mode=off", "--doctree-dir", folder / "doctrees", DOCS),
        folder / "site",
    ]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    built = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-4000:]
    handler = functools.partial(_Quiet, directory=folder / "site")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


_DRIVERS = re.compile("GPU stall|Canvas2D: Multiple readback")  # of a machine without a screen


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_browser_finds_its_way(site, browser, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: _DRIVERS.search(message.text) or said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site}/index.html")
    page.click("article >> text=Which optimizer?")
    assert page.inner_text("h1").startswith("Which optimizer?")
    page.goto(f"{site}/search.html?q=radam")
    page.wait_for_selector("#search-results li a")
    assert page.query_selector("#search-results a[href*='gallery/optimizers/radam']")
    page.goto(f"{site}/gallery/optimizers/radam.html")
    assert page.query_selector("math")
    for picture in page.query_selector_all("article img"):
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("each => each.decode().then(() => each.naturalWidth)") > 100
    page.goto(f"{site}/races/himmelblau.html")
    page.wait_for_selector(".js-plotly-plot .updatemenu-button")
    page.click(".updatemenu-button >> nth=0")
    step = page.locator(".slider-label").first
    page.wait_for_function("() => document.querySelector('.js-plotly-plot')._transitioning !== 1")
    assert step.count()
    for each in (
        "start/index",
        "guides/tuning-yours",
        "gallery/optimizers/adam",
        "reference/tuning",
    ):
        page.goto(f"{site}/{each}.html")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, each  # nothing runs off the side of the screen
    assert not said
    assert all(url.startswith((site, "data:")) for url in asked)
    page.close()
