"""Studies in Weights & Biases."""

from typing import Any

import optuna
from optuna.trial import FrozenTrial

from keras_optim_lab.files import file_name
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


class WandB(Logger):
    """Logs a study to Weights & Biases: a group of runs, one for each trial and one for the study.

    Making a run takes W&B a second or so, which the study waits for.

    Args:
        project: the name of the project.
        **arguments: of `wandb.init`, such as `mode="offline"`, `entity` or `dir`. W&B itself reads
            the key, from its environment variable or file.

    Raises:
        ImportError: the extra `wandb` is not installed.
    """

    def __init__(self, project: str = "keras-optim-lab", **arguments: Any):
        self._wandb = needed("wandb", "wandb")
        self._arguments = {"project": project, "reinit": "create_new", **arguments}

    def log_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        objective = objective_of(study)
        about = {**told(study, trial), **settings(trial)}
        with self._run(study, f"trial-{trial.number:04}", "trial", about) as run:
            for epoch, value in trial.intermediate_values.items():
                run.log({objective: value}, step=epoch)
            run.summary.update(numbers(trial))

    def log_end(self, result: StudyResult) -> None:
        with self._run(result.study, "study", "study", {}) as run:
            run.summary.update(outcome(result))

    def _run(self, study: optuna.Study, name: str, kind: str, config: dict[str, Any]) -> Any:
        group = study.study_name
        return self._wandb.init(
            group=group,
            name=name,
            id=file_name(f"{group}-{name}"),
            resume="allow",
            job_type=kind,
            config=config,
            **self._arguments,
        )
