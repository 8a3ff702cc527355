"""Races measure every optimizer on every surface and write the comparison as a document."""

import json
import re
from pathlib import Path

import pytest

from keras_optim_lab.experiments.schema import ExperimentError
from keras_optim_lab.landscapes import surfaces
from keras_optim_lab.landscapes.many_starts import measure
from keras_optim_lab.optimizers import get
from tests.experiments.texts import RACES

pytestmark = pytest.mark.once


def test_races_are_measured_once_kept_and_written_as_a_document(experiment):
    first = experiment(RACES)
    assert [(part.trainings, part.done) for part in first.parts()] == [(1, 0), (1, 0)]
    first.run()
    lines = Path("experiments/results/mine.jsonl").read_text(encoding="utf-8").splitlines()
    momentum, newton = (json.loads(line) for line in lines)
    assert newton["result"]["surfaces"]["booth"]["arrived"] == 1
    assert newton["result"]["surfaces"]["booth"]["success"] == 1.0
    assert newton["result"]["surfaces"]["saddle"]["arrived"] is None
    assert newton["result"]["bytes"] == 0
    assert momentum["result"]["bytes"] == 4
    rates = {name: on["rate"] for name, on in momentum["result"]["surfaces"].items()}
    assert rates["saddle"] == pytest.approx(rates["booth"])
    assert momentum["result"]["step_seconds"] > 0

    document = Path("docs/compared.md").read_text(encoding="utf-8")
    assert first.command in document
    (row,) = re.findall(r"\| Newton \| 1669 \|.*", document)
    assert row.split(" | ")[2:] == ["0", "1 of 1", "100 %", "stays |"]
    (picture,) = re.findall(r"\]\((.*\.png)\)", document)
    assert (Path("docs") / picture).stat().st_size > 1e4
    page = first.page.read_text(encoding="utf-8")
    assert "Most surfaces are solved" in page
    assert '"sliders":[{' not in page  # a still has nothing to play
    assert '"updatemenus":[{' not in page

    again = experiment(RACES)
    assert all(part.missing == 0 for part in again.parts())


def test_a_curvature_method_is_not_run_on_noise_that_it_would_not_see(experiment):
    made = experiment(RACES.replace('"saddle"', '"noisy"'))
    assert made._settings("momentum")["surfaces"] == ["booth", "noisy"]
    assert made._settings("newton")["surfaces"] == ["booth"]


def test_what_searches_its_own_step_is_not_tuned(experiment):
    settings = experiment(RACES)._settings
    assert [settings(name)["rounds"] for name in ("momentum", "sophia_h", "newton")] == [2, 2, 1]


def test_mistakes_name_their_line(experiment):
    for wrong, line, said in (
        (RACES.replace('"newton"]\nsteps', '"levenberg_marquardt"]\nsteps'), 4, "residuals"),
        (RACES.replace('["booth", "saddle"]', '["boot"]'), 3, "no surface 'boot'"),
        (RACES.replace('pictures = ["booth"]', 'pictures = ["beale"]'), 9, "not among the surf"),
        (RACES.replace('pictured = ["newton"]', 'pictured = ["adam"]'), 10, "not among the opt"),
    ):
        with pytest.raises(ExperimentError, match=rf"line {line}: .*{said}"):
            experiment(wrong)


def test_a_measurement_depends_on_its_seed_alone():
    where = [surfaces.get("booth")]
    settings = {"steps": 10, "starts": 3, "rounds": 1}
    one, same, other = (
        measure(get("gradient_descent"), where, **settings, seed=seed).surfaces
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other
