"""The job files of the pages do what the pages say, as plain processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from optuna.trial import TrialState

from keras_optim_lab.cli import app
from keras_optim_lab.tuner import TuningResult

DOCS = Path(__file__).parents[2] / "docs"
JOB, MANIFEST = DOCS / "jobs/study.sbatch", DOCS / "jobs/study.yaml"

pytestmark = pytest.mark.once


@pytest.mark.parametrize(("page", "file"), [("slurm.md", JOB), ("kubernetes.md", MANIFEST)])
def test_a_page_shows_its_file(page, file):
    assert f"\n{file.read_text()}```" in (DOCS / "guides" / page).read_text()


def test_an_array_job_trains_one_study_as_plain_processes(tmp_path):
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": commands, "TASK": "breast-cancer-mlp", "TRIALS": "6"}
    array = [
        subprocess.Popen(
            ["bash", JOB],
            cwd=tmp_path,
            env={**environment, "SLURM_ARRAY_TASK_ID": str(task)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for task in range(2)
    ]
    said = [process.communicate()[0] for process in array]
    assert [process.returncode for process in array] == [0, 0], said
    result = TuningResult.load("study", storage=tmp_path / "study.journal")
    states = [trial.state for trial in result.study.trials]
    assert states.count(TrialState.COMPLETE) == 6
    assert TrialState.RUNNING not in states
    assert len({trial.user_attrs["seed"] for trial in result.finished_trials}) == 6


def test_a_job_of_kubernetes_gives_the_command_what_it_takes_and_the_password_by_a_secret():
    secret, job = yaml.safe_load_all(MANIFEST.read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["keras-optim-lab", "tune"]
    (tune,) = (each for each in app.registered_commands if each.callback.__name__ == "tune")
    known = tune.callback.__annotations__
    for argument in container["args"]:
        name = argument.removeprefix("--").removeprefix("no-").partition("=")[0]
        assert name.replace("-", "_") in known
        assert "://" not in argument
    (url,) = (each for each in container["env"] if each["name"] == "KERAS_OPTIM_LAB_STORAGE")
    reference = url["valueFrom"]["secretKeyRef"]
    assert reference == {"name": secret["metadata"]["name"], "key": "url"}
    assert "url" in secret["stringData"]
