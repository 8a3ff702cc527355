"""An experiment writes into its own folder, and takes the place of its own files alone."""

from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keras_optim_lab import cli
from keras_optim_lab.experiments.schema import ExperimentError
from keras_optim_lab.reports.tables import markdown
from tests.experiments.texts import OPTIMIZERS, PUBLISHED, RACES, STUDY

pytestmark = pytest.mark.once

OWN = "a user's own"
RESULTS = Path("experiments/results")


def files():
    """All that are there, locks and the experiment itself aside."""
    every = (path for path in Path().rglob("*") if path.is_file() and path.suffix != ".toml")
    return {str(path) for path in every if not any(part[0] == "." for part in path.parts)}


@pytest.mark.parametrize(
    "text", [STUDY, PUBLISHED, OPTIMIZERS + 'document = "../docs/a.md"', RACES]
)
def test_a_dry_run_names_every_file_that_a_run_then_writes(experiment, text):
    made = experiment(text)
    command = ["run", "experiments/mine.toml", "--dry-run"]
    shown = CliRunner().invoke(cli.app, command).output.partition("be written:\n")[2]
    assert files() == set()
    made.run()
    assert {line.removeprefix("  ") for line in shown.splitlines()} == files()
    experiment(text)  # to which all of them are its own


@pytest.mark.parametrize(
    "name",
    [
        "/tmp/x.md",
        "x.txt",
        "../../x",
        "x",
        ".md",
        ".x.md",
        "../.github/x.md",
        r"a\u0000.md",
        "~/.md",
    ],
)
def test_a_document_is_a_markdown_file_beside_the_experiment(experiment, name):
    with pytest.raises(ExperimentError, match="line 8: document: must be a Markdown file in the"):
        experiment(f'{OPTIMIZERS}document = "{name}"')


@pytest.mark.parametrize("name", ["../../x.md", "a/../../../x.md", "../away/x.md", "away/x.md"])
def test_a_document_does_not_leave_the_folder_that_the_experiments_are_in(
    experiment, tmp_path_factory, name
):
    experiment(STUDY)
    away = tmp_path_factory.mktemp("away")
    Path("away").symlink_to(away)
    Path("experiments/away").symlink_to(away)
    with pytest.raises(
        ExperimentError, match=r"line 8: document: .*x\.md would be written, and lies"
    ):
        experiment(f'{OPTIMIZERS}document = "{name}"')
    assert list(away.iterdir()) == []


def test_a_document_of_somebody_else_stays(experiment):
    path = Path("experiments/README.md")
    experiment(STUDY)
    path.write_text("```\nkeras-optim-lab run experiments/mine.toml\n```")
    with pytest.raises(
        ExperimentError, match=r"document: .*README.md is there, and was not written"
    ):
        experiment(OPTIMIZERS + 'document = "README.md"')


def test_what_has_come_in_the_place_of_a_document_during_the_run_stays(experiment):
    made = experiment(OPTIMIZERS + 'document = "found.md"')
    path = Path("experiments/found.md")
    path.write_text(OWN)
    with pytest.raises(ExperimentError, match="was not written by this command"):
        made.run()
    assert path.read_text() == OWN
    path.unlink()
    assert experiment(OPTIMIZERS + 'document = "found.md"').run().is_file()
    assert path.is_file()


def test_a_picture_of_somebody_else_stays(experiment):
    picture = Path("docs/pictures/booth.png")
    picture.parent.mkdir(parents=True)
    picture.write_text(OWN)
    with pytest.raises(
        ExperimentError, match=r"document: .*booth.png is there, and was not written"
    ):
        experiment(RACES)
    written = "This page is written by a command, with all that it shows:\n\n```\n"
    written += "keras-optim-lab run experiments/mine.toml\n```\n\n![Paths](pictures/booth.png)\n"
    Path("docs/compared.md").write_text(written)
    experiment(RACES)  # the document is its own, and shows the picture
    Path("docs/compared.md").write_text(written.replace("booth", "beale"))
    with pytest.raises(ExperimentError, match=r"booth\.png is there"):
        experiment(RACES)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *product(["mine.html", "mine.jsonl", "plotly.min.js"], ["file", "folder", "link"]),
        *product([".mine.jsonl.lock"], ["folder", "link"]),
    ],
)
def test_results_of_somebody_else_stay(experiment, tmp_path_factory, name, how):
    path, away = RESULTS / name, tmp_path_factory.mktemp("away") / "own"
    path.parent.mkdir(parents=True)
    match how:
        case "file":
            path.write_text(OWN)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(away)
    said = {"link": "lies outside"}.get(how, "no record|was not written by this command")
    with pytest.raises(ExperimentError, match=said):
        experiment(PUBLISHED)
    assert how != "file" or path.read_text() == OWN
    assert not away.exists()


def test_a_folder_of_results_that_lies_elsewhere_is_refused(experiment, tmp_path_factory):
    away = tmp_path_factory.mktemp("away")
    RESULTS.parent.mkdir()
    RESULTS.symlink_to(away)
    with pytest.raises(ExperimentError, match="lies outside"):
        experiment(PUBLISHED)
    assert list(away.iterdir()) == []


def test_a_name_does_not_end_a_cell_of_a_documents_table():
    assert markdown(["a|b"], [["c"]]) == "| a\\|b |\n| --- |\n| c |"
