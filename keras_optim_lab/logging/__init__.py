"""Callbacks of `kol.tune` that show a study in other people's tools as it goes on.

    kol.tune("digits-mlp", "adam", callbacks=[kol.logging.TensorBoard("logs")])

Each makes a run for every trial that ends, and one for the study, which holds its best settings and
its verdict in the end. A study that is continued goes on in the run that it had.
"""

from keras_optim_lab.logging.mlflow import MLflow as MLflow
from keras_optim_lab.logging.tensorboard import TensorBoard as TensorBoard
from keras_optim_lab.logging.wandb import WandB as WandB
