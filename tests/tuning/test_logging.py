"""Other people's tools find a study's trials, curves and verdict where they expect them."""

import sys
from pathlib import Path

import mlflow
import pytest
from optuna.pruners import BasePruner
from optuna.trial import TrialState

import keras_optim_lab as kol
from keras_optim_lab.logging.logger import Logger
from tests.studies import small_task

pytestmark = pytest.mark.once("torch")  # where the suite ends first

NAME = "it's a study"
SPACE = {"schedule": ["constant", "cosine"]}
SETTINGS = {"learning_rate", "beta_1", "beta_2", "epsilon", "schedule"}


class PruneThird(BasePruner):
    """Stops one trial after its first epoch."""

    def prune(self, study, trial):
        return trial.number == 2


def tuned(folder, trials, loggers):
    return kol.tune(
        small_task(epochs=3),
        name=NAME,
        trials=trials,
        storage=folder / "studies.journal",
        space=SPACE,
        pruner=PruneThird(),
        folds=None,
        confirm=1,
        callbacks=loggers,
    )


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A study that was ended and continued by another process, as far as loggers can tell."""
    folder = tmp_path_factory.mktemp("logged")
    for trials in (3, 4):
        loggers = [
            kol.logging.MLflow(f"sqlite:///{folder}/mlflow.db"),
            kol.logging.TensorBoard(folder / "events"),
            kol.logging.WandB(mode="offline", dir=str(folder)),
        ]
        result = tuned(folder, trials, loggers)
    return folder, result


def curve(trial):
    return [pytest.approx(value, rel=1e-6) for value in trial.intermediate_values.values()]


def test_mlflow_has_a_run_for_the_study_and_in_it_one_for_each_trial(logged):
    folder, result = logged
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("keras-optim-lab").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(runs) == {NAME, *(f"trial {n}" for n in range(4))}
    own = runs.pop(NAME)
    assert own.data.tags["verdict"] == str(result.verdict)
    assert own.data.tags["best beta_1"] == str(result.best_params["beta_1"])
    assert own.info.status == "FINISHED"
    for trial in result.study.trials:
        run = runs[f"trial {trial.number}"]
        complete = trial.state == TrialState.COMPLETE
        assert run.data.tags["mlflow.parentRunId"] == own.info.run_id
        assert run.info.status == ("FINISHED" if complete else "KILLED")
        assert set(run.data.params) == SETTINGS
        assert float(run.data.params["beta_1"]) == 1 - trial.params["1-beta_1"]
        history = client.get_metric_history(run.info.run_id, "val_loss")
        assert [each.value for each in history] == curve(trial)
        assert [each.step for each in history] == list(trial.intermediate_values)
        assert run.data.metrics["epochs"] == trial.user_attrs["epochs"]
    assert runs["trial 0"].data.tags["start"] == "defaults"


def test_tensorboard_has_curves_and_hyperparameters_of_each_trial_and_the_verdict(logged):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    folder, result = logged

    def read(name):
        (study,) = (folder / "events").iterdir()
        events = EventAccumulator(str(study / name))
        return events.Reload()

    for trial in result.study.trials:
        events = read(f"trial-{trial.number:04}")
        assert [each.value for each in events.Scalars("val_loss")] == curve(trial)
        about = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        chosen = plugin_data_pb2.HParamsPluginData.FromString(about).session_start_info.hparams
        assert set(chosen) == SETTINGS
        assert chosen["learning_rate"].number_value == trial.params["learning_rate"]
        assert chosen["schedule"].string_value == trial.params["schedule"]
    texts = [
        each.tensor_proto.string_val[0].decode()
        for each in read("study").Tensors("result/text_summary")
    ]
    assert str(result.verdict) in texts[-1]


def records(file: Path):
    """Of W&B's own files: blocks of 32 KiB, a record or a part of one behind 7 bytes each."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 2**15 - at % 2**15 < 7:
            at += 2**15 - at % 2**15
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole one, or the last part
            yield Record.FromString(whole)
            whole = b""


def test_wandb_has_a_run_for_each_trial_in_the_group_of_the_study(logged):
    folder, result = logged
    found = {}
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        told = list(records(file))
        run = next(each.run for each in told if each.HasField("run"))
        assert run.run_group == NAME
        found[run.display_name] = run, told
    assert set(found) == {"study", *(f"trial-{n:04}" for n in range(4))}
    for trial in result.study.trials:
        run, told = found[f"trial-{trial.number:04}"]
        config = {each.key: each.value_json for each in run.config.update}
        assert set(config) >= SETTINGS
        assert config["learning_rate"] == str(trial.params["learning_rate"])
        values = [
            float(item.value_json)
            for each in told
            for item in each.history.item
            if "val_loss" in (item.key, *item.nested_key)
        ]
        assert values == curve(trial)
    said = " ".join(str(each.summary) for each in found["study"][1])
    assert "better: val_loss" in said


class Broken(Logger):
    log_trial = log_end = lambda *_: 1 / 0


def test_a_study_goes_on_where_nothing_can_be_logged(tmp_path, caplog):
    result = tuned(tmp_path, 3, [Broken()])
    assert len(result.finished_trials) == 3
    for what in ("trial 0", "trial 2", "the end of the study"):
        assert f"Broken has not logged {what}: ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("tool", "module"), [("MLflow", "mlflow"), ("TensorBoard", "tensorboardX"), ("WandB", "wandb")]
)
def test_a_tool_that_is_not_installed_is_named_with_its_extra(monkeypatch, tool, module):
    monkeypatch.setitem(sys.modules, module, None)
    arguments = ["folder"] if tool == "TensorBoard" else []
    with pytest.raises(ImportError, match=rf'pip install "keras-optim-lab\[{tool.lower()}\]"'):
        getattr(kol.logging, tool)(*arguments)
