"""A finished training is a whole line on the disk, and is found by its settings."""

import errno
import json
import os
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


def test_a_file_that_is_no_results_is_left_as_it_is(path):
    path.parent.mkdir()
    path.write_text("not a line of ours, and without an end")
    with pytest.raises(ExperimentError, match=r"mine.jsonl, line 1 of the results is no record"):
        Records(path)
    assert path.read_text() == "not a line of ours, and without an end"


def test_a_full_disk_leaves_the_lines_before_and_names_the_file(path, monkeypatch):
    records = Records(path)
    records.add({"seed": 0}, {"loss": 1.0})
    before, write = path.read_bytes(), os.write

    def fills_up(file, content):
        if content == b"":
            return 0
        if path.stat().st_size > len(before):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, content[:7])

    monkeypatch.setattr(os, "write", fills_up)
    with pytest.raises(OSError, match=r"No space left on device: '.*mine.jsonl'"):
        records.add({"seed": 1}, {"loss": 2.0})
    assert path.read_bytes() == before
    monkeypatch.undo()
    records.add({"seed": 1}, {"loss": 2.0})
    assert Records(path).find({"seed": 1}) == {"loss": 2.0}


def test_of_two_who_write_none_loses_a_record_and_each_finds_the_others(path):
    one, other = Records(path), Records(path)
    one.add({"seed": 0}, {"loss": 1.0})
    other.add({"seed": 1}, {"loss": 2.0})
    assert one.find({"seed": 1}) == {"loss": 2.0}
    other.add({"seed": 0}, {"loss": 3.0})
    one.add({"seed": 2}, {"loss": 4.0})
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["settings"]["seed"] for record in kept] == [0, 1, 2]
    assert kept[0]["result"] == {"loss": 1.0}, "the first one stays"


ADDING = """
import sys
from pathlib import Path
from keras_optim_lab.experiments.records import Records

records = Records(Path(sys.argv[1]))
print(flush=True)
sys.stdin.readline()
for seed in range(int(sys.argv[2]), 200, int(sys.argv[3])):
    records.add({"seed": seed}, {"curve": [float(seed)] * seed})
"""


def test_processes_that_write_at_once_leave_every_record_once(path):
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen([sys.executable, "-c", ADDING, str(path), *share], **options)
        for share in (("0", "2"), ("1", "2"), ("0", "1"))
    ]
    for process in processes:
        process.stdout.readline()  # it has read what is there, which is nothing
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate() and process.returncode for process in processes] == [0, 0, 0]
    seeds = [json.loads(line)["settings"]["seed"] for line in path.read_text().splitlines()]
    assert sorted(seeds) == [*range(200)]


def test_a_record_survives_the_end_of_its_process(path):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)])
    assert ended.returncode == -signal.SIGKILL
    assert Records(path).find({"seed": 0}) == {"loss": 1.0}
