"""Studies in TensorBoard."""

from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from keras_optim_lab.files import file_name
from keras_optim_lab.logging.logger import Logger, needed, numbers, objective_of, outcome, settings
from keras_optim_lab.tuning.study_result import StudyResult


class TensorBoard(Logger):
    """Logs a study for TensorBoard: a folder of event files for each trial, and one of its own.

    `tensorboard --logdir FOLDER` shows the objective of each trial by epochs, and under HParams
    all trials by their settings. The study's verdict and best settings are a text. TensorFlow is
    not needed for writing.

    Args:
        folder: for all studies; each has a folder of its name in it.

    Raises:
        ImportError: the extra `tensorboard` is not installed.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: str | Path):
        self._tensorboard = needed("tensorboardX", "tensorboard")
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)

    def log_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        folder = self._folder / file_name(study.study_name) / f"trial-{trial.number:04}"
        objective = objective_of(study)
        measured = numbers(trial)
        params = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in settings(trial).items()
        }
        with self._tensorboard.SummaryWriter(str(folder)) as writer:
            about = self._tensorboard.summary.hparams(params, dict.fromkeys([objective, *measured]))
            for each in about:
                writer.file_writer.add_summary(each)
            for epoch, value in trial.intermediate_values.items():
                writer.add_scalar(objective, value, epoch)
            for name, value in measured.items():
                writer.add_scalar(name, value, 0)

    def log_end(self, result: StudyResult) -> None:
        folder = self._folder / file_name(result.study.study_name) / "study"
        lines = [f"**{name}**: {value}" for name, value in outcome(result).items()]
        with self._tensorboard.SummaryWriter(str(folder)) as writer:
            writer.add_text("result", "\n\n".join(lines), len(result.finished_trials))
