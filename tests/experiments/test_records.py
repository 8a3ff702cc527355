"""A finished training is a whole line on the disk, and is found by its settings."""

import json
import signal
import subprocess
import sys

import pytest

from keras_optim_lab.experiments.records import Records
from keras_optim_lab.experiments.schema import ExperimentError

pytestmark = pytest.mark.once


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "mine.jsonl"


def test_a_record_is_found_by_equal_settings_alone(path):
    Records(path).add({"seed": 1, "rate": 0.1}, {"loss": 2.0}, command="run")
    found = Records(path)
    assert found.find({"rate": 0.1, "seed": 1}) == {"loss": 2.0}
    assert found.find({"rate": 0.1, "seed": 2}) is None
    assert found.find({"seed": 1}) is None
    assert json.loads(path.read_text())["command"] == "run"


def test_a_record_is_a_line(path):
    records = Records(path)
    for seed in range(3):
        records.add({"seed": seed}, {})
    assert [json.loads(line)["settings"]["seed"] for line in path.read_text().splitlines()] == [
        *range(3)
    ]


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_last_line_that_was_cut_off_is_dropped_and_its_place_taken(path, cut):
    records = Records(path)
    for seed in range(3):
        records.add({"seed": seed}, {"loss": 1.0})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    again = Records(path)
    assert path.read_bytes() == whole[:-cut], "reading writes nothing"
    assert [again.find({"seed": seed}) is not None for seed in range(3)] == [True, True, False]
    again.add({"seed": 2}, {"loss": 1.0})
    assert path.read_bytes() == whole


def test_a_whole_line_that_is_no_record_is_an_error_that_names_it(path):
    Records(path).add({"seed": 0}, {})
    with path.open("a") as file:
        file.write("{}\n")
    with pytest.raises(ExperimentError, match=r"mine.jsonl, line 2 of the results is no record"):
        Records(path)


KILLED = """
import os, signal, sys
from pathlib import Path
from keras_optim_lab.experiments.records import Records

records = Records(Path(sys.argv[1]))
records.add({"seed": 0}, {"loss": 1.0})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_record_survives_the_end_of_its_process(path):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)])
    assert ended.returncode == -signal.SIGKILL
    assert Records(path).find({"seed": 0}) == {"loss": 1.0}
