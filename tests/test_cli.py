"""The command does what the functions do, shows how far it is, and fails in one line."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import optuna
import pytest
from rich.console import Console
from typer.testing import CliRunner

import keras_optim_lab as kol
from keras_optim_lab import cli, tune_commands
from keras_optim_lab.backend import selection
from keras_optim_lab.optimizers import entries
from keras_optim_lab.tasks import catalogue, describe
from keras_optim_lab.tasks.built_in.declaration import BuiltInTask
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning import executors
from keras_optim_lab.tuning.engines import default
from keras_optim_lab.tuning.executors import choosing
from tests.experiments.texts import OPTIMIZERS
from tests.studies import Formula, small_model, small_task

pytestmark = pytest.mark.once

SMALL = BuiltInTask(
    name="small",
    summary="a line",
    weights=21,
    samples=(24, 8, 8),
    data=lambda: (small_task().train, small_task().validation, small_task().test),
    model=small_model,
    loss="mean_squared_error",
    batch_size=8,
    epochs=2,
)


@pytest.fixture
def command(monkeypatch, tmp_path):
    """The command in an empty folder, with a small task, and losses by formula."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(catalogue._DECLARED, "small", SMALL)
    monkeypatch.setattr(choosing, "PopulationEngine", lambda width: Formula())
    monkeypatch.setattr(default, "PopulationEngine", Formula)
    for module in (cli, tune_commands):
        monkeypatch.setattr(module, "console", Console(width=200))
    return lambda *arguments: CliRunner().invoke(cli.app, list(arguments))


def tune(command, *arguments):
    return command("tune", "--task", "small", "--trials", "4", "--name", "mine", *arguments)


def study(name="mine"):
    return TuningResult.load(name)


# What it shows.


def test_the_version_is_shown(command):
    assert command("--version").output == f"keras-optim-lab {kol.__version__}\n"


def test_the_package_runs_as_the_command():
    run = [sys.executable, "-m", "keras_optim_lab", "--version"]
    shown = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert shown == f"keras-optim-lab {kol.__version__}\n"


def test_optimizers_lists_the_catalogue(command):
    shown = command("optimizers")
    assert shown.exit_code == 0
    for entry in [*entries(), *entries(needs_objective=True)]:
        optimizer = entry.cls()
        (row,) = [line for line in shown.output.splitlines() if line.startswith(f"{entry.name} ")]
        assert re.split(r"\s{2,}", row.strip()) == [
            *(entry.name, str(entry.year), entry.idea),
            *(str(len(optimizer.active_slots)), f"{optimizer.bytes_per_weight:.2g}"),
        ]
    assert shown.output.index("with kol.Model") < shown.output.index("\nnewton ")
    assert "the n × n Hessian" in shown.output


def test_optimizers_with_a_name_shows_its_page(command):
    shown = command("optimizers", "R-Adam")
    assert shown.exit_code == 0
    assert "radam   RAdam, 2019" in shown.output
    assert "When to use it" in shown.output


def test_tasks_lists_the_tasks(command):
    shown = command("tasks").output
    for task in describe():
        (row,) = [line for line in shown.splitlines() if line.startswith(f"{task.name} ")]
        assert f"{task.weights:,}" in row
        assert "/".join(map(str, task.samples)) in row


def test_tune_shows_how_to_train_with_what_it_chose(command):
    shown = tune(command, "--space", "batch_size=4,6", "--space", "epochs=3", "--no-report")
    size = study().best_params["batch_size"]
    assert f"model.fit(x, y, batch_size={size}, epochs=3, ...)" in shown.output


@pytest.mark.parametrize("listing", ["optimizers", "tasks"])
def test_names_are_whole_in_a_narrow_terminal(command, monkeypatch, listing):
    monkeypatch.setattr(cli, "console", Console(width=80))
    shown = command(listing).output
    names = [row.name for row in (entries() if listing == "optimizers" else describe())]
    assert [name for name in names if not re.search(rf"^{name}\s", shown, re.MULTILINE)] == []
    assert "…" not in shown


def test_tune_shows_the_progress_the_best_settings_and_the_report(command):
    shown = tune(command)
    assert shown.exit_code == 0, shown.output
    found = study()
    assert "Study mine: adam on small, 4 trials, on" in shown.output
    best = found.best_trial
    assert f"4/4 0:00:00 best val_loss {best.value:.5g}" in shown.output
    assert f"Best: trial {best.number}, val_loss {best.value:.5g}" in shown.output
    assert repr(found.best_optimizer()) in shown.output
    assert "model.fit" not in shown.output
    assert f"Report: {Path('reports/mine.html').resolve()}" in shown.output
    assert Path("reports/mine.html").is_file()
    assert shown.output.count(f"{found.verdict}".split("(")[0]) == 2  # at once and in the end
    assert "Tuned against default on the test split of small: loss" in shown.output
    assert "(mean ± standard deviation over 20 seeds)" in shown.output
    assert "40/40 0:00:00 default against tuned settings" in shown.output
    assert shown.output.count("default against tuned settings") == 1


def test_warnings_follow_the_verdict(command):
    shown = tune(command, "--space", "beta_2=0.999", "--sampler", "random").output
    verdict, warnings = shown.index("Tuned Adam is"), shown.index("Warning: ")
    assert verdict < warnings < shown.index("Report: ")
    assert "Warning: 4 finished trials are few for the 3 hyperparameters of Adam" in shown
    shown = tune(
        command, "--optimizer", "gradient_descent", "--space", "learning_rate=0.1", "--name", "well"
    ).output
    assert "Tuned GradientDescent is" in shown
    assert "Warning" not in shown


def test_tune_passes_its_options_on(command):
    shown = tune(
        command,
        *("--optimizer", "momentum,adam", "--seed", "5", "--objective", "loss"),
        *("--sampler", "random", "--pruner", "none", "--storage", "sqlite:///s.db", "--no-report"),
        *("--space", "adam.epsilon=1e-7", "--space", "learning_rate=1e-3:1e-2"),
        *("--space", "adam.amsgrad=true", "--backend", keras.backend.backend()),
        *("--population", "auto", "--seeds-per-trial", "2", "--folds", "3"),
        *("--start", "none", "--minutes", "60"),
    )
    assert shown.exit_code == 0, shown.output
    found = TuningResult.load("mine", "sqlite:///s.db")
    assert found.space.optimizers == ["momentum", "adam"]
    assert found.space.fixed == {"momentum": {}, "adam": {"epsilon": 1e-7, "amsgrad": True}}
    rates = optuna.distributions.FloatDistribution(1e-3, 1e-2, log=True)
    assert found.space.distributions["momentum.learning_rate"] == rates
    assert [trial.user_attrs["seed"] for trial in found.study.trials] == [5, 11, 17, 23]
    assert (found.seeds_per_trial, found.folds) == (2, 3)
    assert found.objective.name == "loss"
    assert not Path("reports").exists()


def test_tune_starts_with_the_settings_of_a_file(command):
    Path("mine.json").write_text('[{"learning_rate": 0.02}]')
    assert tune(command, "--start", "mine.json", "--confirm", "0", "--no-report").exit_code == 0
    defaults, given = study().study.trials[:2]
    assert defaults.params["learning_rate"] == 1e-3
    assert given.params["learning_rate"] == 0.02


def test_tune_searches_a_schedule(command):
    space = ("--space", "schedule=constant,cosine", "--space", "warmup=0.1:0.2")
    shown = tune(command, "--optimizer", "adam,momentum", "--confirm", "0", *space)
    assert shown.exit_code == 0, shown.output
    found = study()
    assert found.space.distributions["schedule"].choices == ("constant", "cosine")
    assert (found.space.distributions["warmup"].low, found.space.distributions["warmup"].high) == (
        0.1,
        0.2,
    )
    assert {"schedule", "warmup"} <= found.best_params.keys()
    assert re.search(r"WarmupDecay\(learning_rate=\S+, steps=6, warmup=", shown.output)
    page = Path("reports/mine.html").read_text(encoding="utf-8")
    assert "learning_rate=kol.schedules.WarmupDecay(" in page


def test_tune_races_as_many_trials_as_it_is_told(command):
    shown = tune(command, "--confirm", "2", "--no-report")
    assert f"Verdict: {study().verdict}" in shown.output
    assert len(study().confirmation.values) == 3
    shown = tune(command, "--confirm", "0", "--no-report", "--name", "plain")
    assert "Verdict" not in shown.output


def test_tune_continues_a_study_of_the_same_name(command):
    tune(command, "--no-report")
    before = [trial.params for trial in study().study.trials]
    shown = tune(command, "--trials", "6", "--no-report")
    assert "6/6" in shown.output
    after = [trial.params for trial in study().study.trials]
    assert after[:4] == before
    assert len(after) == 6


def test_tune_and_run_train_by_the_workers_that_are_asked_for(command, monkeypatch, tmp_path):
    class Asked(executors.Executor):
        """An executor that trains by itself, and keeps how it was made."""

        _start = _ready = None

        def __init__(self, *arguments, **named):
            made.append((arguments, named))
            self._trains, self._workers, self._task = Formula(), [], None

        def run(self, task, candidates):
            ran.append(task.name)
            self._trains.run(task, candidates)
            self.summary = self._trains.summary

        def close(self):
            ran.append("closed")

    made, ran = [], []
    monkeypatch.setattr(choosing, "Processes", Asked)
    monkeypatch.setattr(executors, "Ray", Asked)
    assert tune(command, "--workers", "2", "--no-report").exit_code == 0
    assert ran[:1] + ran[-1:] == ["small", "closed"]
    assert "small" in ran[1:-1]  # the race
    ray = ("--ray", "host:1", "--workers", "8", "--gpus", "0.5", "--population", "4")
    assert command("tune", "--task", "small", "--trials", "2", *ray, "--no-report").exit_code == 0
    assert made == [
        ((2, "auto"), {}),
        ((8,), {"num_gpus": 0.5, "address": "host:1", "population": 4}),
    ]
    assert "--workers" in str(command("tune", "--task", "small", "--ray", "local").exception)
    ran.clear()
    (tmp_path / "mine.toml").write_text(OPTIMIZERS, "utf-8")
    assert command("run", "mine.toml", "--workers", "auto").exit_code == 0
    assert made[2:] == [(("auto", "auto"), {})]
    assert ran[-1] == "closed"
    assert len(ran) > 1


def test_report_writes_the_page_of_a_stored_study(command):
    tune(command, "--no-report")
    assert command("report", "mine", "--seeds", "1").exit_code == 0
    assert Path("reports/mine.html").is_file()
    shown = command("report", "mine", "--seeds", "1", "--output", "deep/page.html")
    assert f"Report: {Path('deep/page.html').resolve()}" in shown.output
    assert Path("deep/page.html").is_file()


@pytest.mark.parametrize("name", ["../../x", "/x", "x/../..", "x" * 500])
def test_the_report_of_a_study_by_any_name_lies_among_the_reports(command, tmp_path, name):
    here = ("--storage", "sqlite:///s.db", "--seeds", "1")
    shown = command("tune", "--task", "small", "--trials", "1", "--name", name, *here)
    assert shown.exit_code == 0, shown.output
    (page,) = Path("reports").iterdir()
    assert re.fullmatch(r"x[\w.-]*\.html", page.name)
    assert {path.name for path in tmp_path.iterdir()} - {"s.db-shm", "s.db-wal"} == {
        "reports",
        "s.db",
    }


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("learning_rate=1e-4:1e-2", ("learning_rate", (1e-4, 1e-2))),
        ("1-beta_1=0.1:0.5", ("1-beta_1", (0.1, 0.5))),
        ("adam.epsilon=1e-8", ("adam.epsilon", 1e-8)),
        ("amsgrad=true", ("amsgrad", True)),
        ("amsgrad=False", ("amsgrad", False)),
        ("warmup=0:0.2", ("warmup", (0.0, 0.2))),
        ("warmup=0.1", ("warmup", 0.1)),
        ("schedule=cosine", ("schedule", "cosine")),
        ("schedule=constant,cosine", ("schedule", ["constant", "cosine"])),
        ("batch_size=64", ("batch_size", 64)),
        ("batch_size=16,32", ("batch_size", [16, 32])),
        ("epochs=5:50", ("epochs", (5, 50))),
    ],
)
def test_space_takes_a_range_or_a_value(text, change):
    name, value = tune_commands.override(text)
    assert (name, value) == change
    assert type(value) is type(change[1])


def test_a_population_is_a_number_or_a_word_for_the_engine_to_judge():
    words = ["auto", "many", 5000 * "1"]
    assert [tune_commands.number_or_word(text) for text in ("3", "-3", *words)] == [3, -3, *words]


@pytest.mark.parametrize(
    "text",
    [
        "beta_1",
        "beta_1=",
        "beta_1=a",
        "beta_1=0.5:",
        "beta_1=1:2:3",
        "schedule=",
        "batch_size=8.5",
        "epochs=1:x",
        "epochs=2,5",
    ],
)
def test_space_refuses_anything_else(text):
    with pytest.raises(ValueError, match=f"NAME=LOW:HIGH or NAME=VALUE.*Received: '{text}'"):
        tune_commands.override(text)


# What goes wrong.


@pytest.fixture
def main(command, monkeypatch, capfd):
    """The command as a shell calls it: its exit code and what it wrote on each stream."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["keras-optim-lab", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capfd.readouterr()

    return run


OTHER = next(name for name in selection.BACKENDS if name != keras.backend.backend())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("optimizers ramda", "Did you mean 'radam'"),
        ("tune --task smal", "Did you mean 'small'"),
        ("tune --task small --optimizer adm", "Did you mean 'adam'"),
        ("tune --task small --space beta1=0.9", "Did you mean 'beta_1'"),
        ("tune --task small --space beta_1=2", "`beta_1` must be a number in [0, 1)"),
        ("tune --task small --space beta_1", "--space takes NAME=LOW:HIGH or NAME=VALUE"),
        ("tune --task small --space schedule=cosin", "Did you mean 'cosine'"),
        ("tune --task small --space schedule=0:1", "`schedule` must be one of constant, linear"),
        ("tune --task small --space schedule=linear,", "Received: schedule=''"),
        ("tune --task small --space warmup=0:1", "`warmup` must be a number in [0, 1)"),
        ("tune --task small --sampler tpo", "Did you mean 'tpe'"),
        ("tune --task small --sampler grid --optimizer adam,lion", "Search them one by one"),
        ("tune --task small --start defalts", "Did you mean 'defaults'"),
        ("tune --task small --start no.json", "--start takes portfolio, defaults, none, or a JSON"),
        ("tune --task small --minutes 0", "`minutes` must be a number > 0"),
        ("tune --task small --pruner medain", "Did you mean 'median'"),
        ("tune --task small --objective val_los", "Did you mean 'val_loss'"),
        ("tune --task small --trials 0", "`trials` must be a whole number ≥ 1. Received: trials=0"),
        (
            "tune --task small --trials 1000000000000",
            "must be a whole number ≤ 2,147,483,647",
        ),
        (f"tune --task small --space beta_1={400 * '1'}", "`beta_1` must be a number in [0, 1)"),
        ("run /proc/self/mem", "Input/output error: '/proc/self/mem'"),
        ("tune --task small --seed -1", "seed=-1"),
        ("tune --task small --seeds 0", "`seeds` must be a whole number ≥ 1"),
        ("tune --task small --confirm -1", "`confirm` must be a whole number ≥ 0"),
        ("tune --task small --storage nonsense://x", "'nonsense://x' cannot be opened"),
        ("tune --task small --name a/b", "Received: name='a/b'"),
        ("tune --task small --backend theano", "no backend 'theano'"),
        (f"tune --task small --backend {OTHER}", f"Set KERAS_BACKEND={OTHER} before"),
        ("report nothing", "There is no study 'nothing'"),
        ("report nothing --storage sqlite:///no.db", "There is no study 'nothing'"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(main, tmp_path, arguments, message):
    code, out, error = main(*shlex.split(arguments))
    assert code == 2
    assert out == ""
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_a_backend_that_is_not_installed_is_one_line_too(main, monkeypatch):
    monkeypatch.setattr(selection, "installed", lambda: ["numpy"])
    code, _, error = main("optimizers", "--backend", "torch")
    assert code == 2
    assert "Error: The backend 'torch' is not installed: pip install \"keras-optim-lab[" in error


@pytest.mark.parametrize("arguments", ["tune", "tune --task small --trials many", "tuna", "report"])
def test_wrong_usage_is_exit_code_2(main, arguments):
    code, _, error = main(*shlex.split(arguments))
    assert code == 2
    assert "Traceback" not in error


def test_a_study_whose_trials_all_diverged_ends_in_one_line(main, monkeypatch):
    monkeypatch.setattr(choosing, "PopulationEngine", lambda width: Formula(lambda h: float("nan")))
    code, _, error = main("tune", "--task", "small", "--trials", "2")
    assert code == 2
    assert "has no complete trial yet" in error
    assert "Traceback" not in error


def test_a_study_with_another_space_is_one_line_and_left_as_it_was(command, main):
    tune(command, "--no-report")
    journal = Path("studies/mine.journal")
    before = journal.read_bytes()
    code, out, error = main(
        "tune", "--task", "small", "--name", "mine", "--space", "beta_1=0.9", "--trials", "9"
    )
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "exists with another space" in error
    assert journal.read_bytes() == before


def test_the_traceback_of_a_mistake_can_be_asked_for(command, monkeypatch):
    monkeypatch.setenv("KERAS_OPTIM_LAB_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", ["keras-optim-lab", "report", "nothing"])
    with pytest.raises(ValueError, match="There is no study"):
        cli.main()


def test_a_database_that_is_given_as_a_path_is_answered_with_its_url(main):
    Path("sq.db").write_bytes(b"SQLite format 3\0")
    _, _, error = main("report", "mine", "--storage", "sq.db")
    assert "an Optuna URL such as sqlite:///sq.db." in error


# Workers.


def test_a_worker_trains_what_a_study_still_lacks(command):
    assert tune(command, "--no-report").exit_code == 0
    shown = command("worker", "mine", "--trials", "7")
    assert shown.exit_code == 0
    assert "Best: trial" in shown.output
    assert len(study().finished_trials) == 7
    again = command("worker", "mine")  # seven is what it was last told
    assert again.exit_code == 0
    assert "no result yet" not in again.output
    assert "7/7 0:00:00 best val_loss" in again.output
    assert len(study().finished_trials) == 7


def test_a_worker_of_a_study_that_does_not_exist_says_so(command):
    shown = command("worker", "other")
    assert isinstance(shown.exception, ValueError)
    assert "There is no study 'other'" in str(shown.exception)


def test_the_storage_may_be_named_by_the_environment(command, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_OPTIM_LAB_STORAGE", "elsewhere.journal")
    assert tune(command, "--no-report").exit_code == 0
    assert command("worker", "mine", "--trials", "5").exit_code == 0
    assert (tmp_path / "elsewhere.journal").is_file()
    assert not (tmp_path / "studies").exists()


@pytest.mark.parametrize("before", [("worker", "s", "x"), ()])
def test_a_password_is_not_shown_where_it_is_no_argument(command, before):
    told = command(*before, "postgresql://user:secret@host/data").output
    assert "postgresql://user:***@host" in told
    assert "secret" not in told


def test_a_password_is_not_shown_in_an_error(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    url = "postgresql://me:secret@localhost:1/d?connect_timeout=1"
    monkeypatch.setattr(sys, "argv", ["keras-optim-lab", "worker", "mine", "--storage", url])
    with pytest.raises(SystemExit):
        cli.main()
    shown = capsys.readouterr()
    assert "secret" not in shown.out + shown.err
    assert "cannot be opened" in shown.err


# Ctrl-C.

# The command with the small task, whose epochs last long enough to be interrupted.
SLOWLY = """
import signal
import time
from keras_optim_lab import cli, tune_commands
from keras_optim_lab.tasks import catalogue
from keras_optim_lab.tuning.executors import choosing
from tests import test_cli
from tests.studies import Formula

def logs(loss, epoch):
    time.sleep(0.05)
    return {"loss": loss, "val_loss": loss}

catalogue._DECLARED["small"] = test_cli.SMALL
choosing.PopulationEngine = lambda width: Formula(logs=logs)
# A shell that starts the tests in the background has Ctrl-C ignored, also by children.
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.main()
"""


@pytest.fixture
def started(tmp_path):
    """Starts the command in a process, which does not outlive the test."""
    processes = []

    def start(*arguments):
        repository = Path(__file__).parent.parent
        process = subprocess.Popen(
            [sys.executable, "-c", SLOWLY, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(repository), "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def finished_trials(folder):
    """How many trials a study's journal says were told."""
    journals = list((folder / "studies").glob("*.journal"))
    return journals[0].read_text().count('"op_code":6,') if journals else 0


def test_ctrl_c_leaves_a_valid_study_and_says_how_to_continue_it(started, tmp_path):
    running = started("tune", "--task", "small", "--trials", "5000", "--no-report")
    deadline = time.monotonic() + 300
    while finished_trials(tmp_path) < 2 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, error = running.communicate(timeout=120)
    assert running.returncode == 130, error
    assert "Traceback" not in error
    kept = int(re.search(r"the study keeps its (\d+) finished trials", out).group(1))
    assert kept >= 2
    again = shlex.split(re.search(r"Continue with:\n +(.*)\n", out).group(1))[1:]
    assert again[again.index("--backend") + 1] == keras.backend.backend()
    again[again.index("5000")] = str(kept + 2)
    continued = started(*again)
    out, error = continued.communicate(timeout=300)
    assert continued.returncode == 0, error
    assert f"{kept + 2}/{kept + 2}" in out
    (journal,) = (tmp_path / "studies").glob("*.journal")
    assert again[again.index("--name") + 1] == journal.stem
