"""Studies in MLflow."""

import re
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.logging.logger import (
    Logger,
    needed,
    numbers,
    objective_of,
    outcome,
    settings,
    told,
)
from keras_optim_lab.tuning.study_result import StudyResult

_STUDY = "study run"  # the tag by which a study's run is found again
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")


class MLflow(Logger):
    """Logs a study to MLflow: one run, and in it a run for each trial.

    A trial's settings are parameters, and its objective after every epoch and its seconds are
    metrics; one that a pruner has stopped, or that diverged, is KILLED.

    Args:
        tracking_uri: a server, or a database such as "sqlite:///mlflow.db"; by default MLflow's own
            choice, which its environment variables make. Credentials are read from these, too.
        experiment: the name of the experiment, which is made where it is missing.

    Raises:
        ImportError: the extra `mlflow` is not installed.
        MlflowException: nothing can be logged there.
    """

    def __init__(self, tracking_uri: str | None = None, experiment: str = "keras-optim-lab"):
        self._mlflow = needed("mlflow", "mlflow")
        self._client = self._mlflow.MlflowClient(tracking_uri)
        known = self._client.get_experiment_by_name(experiment)
        self._experiment = (
            known.experiment_id if known else self._client.create_experiment(experiment)
        )
        self._studies: dict[str, str] = {}  # the runs of studies, by their names

    def log_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        entities = self._mlflow.entities
        begun, ended = _milliseconds(trial.datetime_start), _milliseconds(trial.datetime_complete)
        tags = {
            **told(study, trial),
            "mlflow.parentRunId": self._run_of(study),
            "mlflow.runName": f"trial {trial.number}",
        }
        run = self._client.create_run(self._experiment, begun, tags).info.run_id
        curve = [
            entities.Metric(objective_of(study), value, ended, epoch)
            for epoch, value in trial.intermediate_values.items()
        ]
        others = [entities.Metric(name, value, ended, 0) for name, value in numbers(trial).items()]
        params = [
            entities.Param(_NOT_IN_NAMES.sub("-", name), str(value))
            for name, value in settings(trial).items()
        ]
        self._client.log_batch(run, [*curve, *others], params)
        complete = trial.state == TrialState.COMPLETE
        self._client.set_terminated(run, "FINISHED" if complete else "KILLED", ended)

    def log_end(self, result: StudyResult) -> None:
        run = self._run_of(result.study)
        for name, said in outcome(result).items():
            self._client.set_tag(run, name, said)
        if result.is_complete:
            value = result.best_trial.value
            self._client.log_metric(run, f"best {result.objective.name}", value)
        self._client.set_terminated(run)

    def _run_of(self, study: optuna.Study) -> str:
        name = study.study_name
        if name not in self._studies:
            known_by = name.replace('"', "'")  # a filter knows no way to write both
            ours = f'tags.`{_STUDY}` = "{known_by}"'
            runs = self._client.search_runs([self._experiment], ours, max_results=1)
            tags = {_STUDY: known_by, "mlflow.runName": name}
            run = runs[0] if runs else self._client.create_run(self._experiment, tags=tags)
            self._client.update_run(run.info.run_id, "RUNNING")
            self._studies[name] = run.info.run_id
        return self._studies[name]


def _milliseconds(moment: datetime | None) -> int:
    return round((moment or datetime.now()).timestamp() * 1000)
