"""The command runs a file, or says what it would run."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from keras_optim_lab import cli
from tests.experiments.texts import PUBLISHED

pytestmark = pytest.mark.once


def run(*arguments):
    return CliRunner().invoke(cli.app, ["run", "experiments/mine.toml", *arguments])


@pytest.fixture(autouse=True)
def file(experiment):
    return experiment(PUBLISHED)


def test_it_trains_and_names_verdict_page_and_data():
    shown = run()
    assert shown.exit_code == 0, shown.output
    assert "3/3 Adam, tuned" in shown.output
    assert "1 of 2 published means are met" in shown.output
    for kind, suffix in (("Page", "html"), ("Data", "jsonl")):
        path = Path(f"experiments/results/mine.{suffix}").resolve()
        assert f"{kind}: {path}" in shown.output
        assert path.is_file()


def test_a_dry_run_says_what_is_there_and_what_is_missing(engine):
    shown = run("--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "Adam, tuned          3      0       3" in shown.output
    assert "3 of 3 trainings would be run." in shown.output
    assert engine.trained == 0
    run()
    assert "0 of 3 trainings would be run." in run("--dry-run").output


def test_stopped_it_says_how_to_continue(engine):
    engine.stop_after = 1
    shown = run()
    assert shown.exit_code == 130
    assert "keras-optim-lab run experiments/mine.toml" in shown.output
    engine.stop_after = None
    assert run().exit_code == 0
    assert engine.trained == 3
