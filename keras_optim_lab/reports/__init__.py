"""Reports: figures, and the self-contained page that holds them."""

from keras_optim_lab.reports.report import write_report

__all__ = ["write_report"]
