"""optuna-dashboard opens our studies, kept in a journal or in SQLite."""

import csv
import json
import re
import socket
import subprocess
import sys
import time
from urllib.request import ProxyHandler, build_opener

import pytest

from keras_optim_lab.tuner import TuningResult
from tests.studies import Formula, small_task

SECONDS = 120  # to start in, on a machine that is busy
STORAGES = {"journal": "{}/study.journal", "sqlite": "sqlite:///{}/study.db"}
TRIALS = 4
PROGRAM = "from optuna_dashboard._cli import main; main()"

pytestmark = pytest.mark.once("torch")  # which has the least to do

# Addresses of this machine are not to be asked of a proxy.
_open = build_opener(ProxyHandler({})).open


def read(address):
    with _open(address, timeout=SECONDS) as answer:
        return answer.read().decode("utf-8")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def new_study(kind, storage):
    names = ["adam", "momentum"]
    return TuningResult.create(small_task(), names, name=f"in-{kind}", storage=storage)


def start(storage, log):
    """A dashboard of a storage: its address and its process."""
    port = str(free_port())
    command = [sys.executable, "-c", PROGRAM, storage, "--port", port, "--server", "wsgiref"]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
    return f"http://127.0.0.1:{port}", process


def wait_for(address, process, log):
    deadline = time.monotonic() + SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        try:
            return read(f"{address}/api/studies")
        except OSError:  # it does not listen yet
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)


@pytest.fixture(scope="module")
def dashboards(tmp_path_factory):
    """A dashboard for each storage and the study in it."""
    folder = tmp_path_factory.mktemp("dashboards")
    started = {}
    storages = {kind: storage.format(folder) for kind, storage in STORAGES.items()}
    try:
        results = {kind: new_study(kind, storage) for kind, storage in storages.items()}
        for kind, storage in storages.items():
            started[kind] = start(storage, folder / f"{kind}.log"), results[kind].study
        for result in results.values():  # while the dashboards start
            result.run(TRIALS, Formula())
        for kind, ((address, process), _) in started.items():
            wait_for(address, process, folder / f"{kind}.log")
        yield started
    finally:
        for (_, process), _ in started.values():
            process.kill()
            process.wait()


@pytest.fixture(params=STORAGES)
def dashboard(request, dashboards):
    (address, _), study = dashboards[request.param]
    return address, study


def listed(address):
    """What the dashboard says of the only study that it has."""
    (study,) = json.loads(read(f"{address}/api/studies"))["study_summaries"]
    return study


def test_the_dashboard_lists_the_study_and_serves_its_page(dashboard):
    address, study = dashboard
    shown = listed(address)
    assert shown["study_name"] == study.study_name
    assert shown["directions"] == ["minimize"]
    page = read(f"{address}/dashboard/studies/{shown['study_id']}")
    (script,) = re.findall(r'src="(/static/[^"]+\.js[^"]*)"', page)
    assert len(read(address + script)) > 100_000


def test_the_dashboard_shows_every_trial_with_its_parameters_epochs_and_attributes(dashboard):
    address, study = dashboard
    shown = json.loads(read(f"{address}/api/studies/{listed(address)['study_id']}"))
    assert len(shown["trials"]) == len(study.trials) == TRIALS
    for ours, theirs in zip(study.trials, shown["trials"], strict=True):
        assert theirs["number"] == ours.number
        assert theirs["state"].lower() == ours.state.name.lower()
        assert theirs["values"] == pytest.approx(ours.values)
        assert {param["name"] for param in theirs["params"]} == set(ours.params)
        epochs = {value["step"]: value["value"] for value in theirs["intermediate_values"]}
        assert epochs == pytest.approx(ours.intermediate_values)
        attributes = {attribute["key"] for attribute in theirs["user_attrs"]}
        assert attributes >= {"seed", "epochs", "seconds"}
    searched = {space["name"] for space in shown["union_search_space"]}
    assert searched == {name for trial in study.trials for name in trial.params}


def test_the_dashboard_gives_the_trials_as_a_table(dashboard):
    address, study = dashboard
    rows = list(csv.DictReader(read(f"{address}/csv/{listed(address)['study_id']}").splitlines()))
    assert [float(row["Value"]) for row in rows] == pytest.approx([t.value for t in study.trials])
