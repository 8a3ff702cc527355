"""`compare_backends`, and the result that it returns."""

from collections.abc import Sequence
from pathlib import Path

from keras_optim_lab.comparison.findings import Findings
from keras_optim_lab.comparison.measuring import Progress, measure
from keras_optim_lab.comparison.plan import make_plan
from keras_optim_lab.files import file_name
from keras_optim_lab.tasks import Task


class BackendComparison(Findings):
    """What `compare_backends` found, as data, and as a page by `report`."""

    def report(self, path: str | Path | None = None) -> Path:
        """Writes one self-contained HTML page and returns its path.

        Args:
            path: of the page; `reports/backends-TASK.html` by default.
        """
        from keras_optim_lab.comparison.comparison_page import write_page

        named = f"backends-{file_name(self.plan.task.name)}.html"
        return write_page(self, Path(path or Path("reports") / named))


def compare_backends(
    task: Task | str,
    optimizers: Sequence[str] | None = None,
    *,
    backends: Sequence[str] = ("tensorflow", "jax", "torch"),
    steps: Sequence[int] = (1, 10, 100),
    seed: int = 0,
    learning_rate: float | None = None,
    on_progress: Progress = lambda line: None,
) -> BackendComparison:
    """Trains the same on several backends and says how far their weights part.

        result = kol.compare_backends("digits-mlp", ["adam", "radam"])
        print(result.verdicts["adam"])
        result.report("backends.html")

    Each backend runs in a process of its own, one after the other, from the same initial weights,
    with the same batches and hyperparameters, by Keras's own `train_on_batch`. Beside each
    optimizer runs the Keras built-in of its role, where there is one.

    Args:
        task: name of a built-in task; or a `Task` of arrays whose functions can be imported from
            a module.
        optimizers: names from the catalogue; None for all.
        backends: those that are not installed are named in the result and left out.
        steps: after how many steps to compare.
        seed: of the initial weights and of the order of the samples.
        learning_rate: for all optimizers, in place of their defaults.
        on_progress: called with a line of text whenever something begins.

    Returns:
        How far weights are apart after the steps, a verdict on each optimizer, and `report(path)`.

    Raises:
        TypeError, ValueError: an argument cannot work; no process has been started.
        RuntimeError: a backend's process failed; the message ends with its error.
    """
    plan = make_plan(task, optimizers, backends, steps, seed, learning_rate)
    runs, told = measure(plan, on_progress)
    return BackendComparison(
        plan=plan,
        runs=runs,
        versions={b: record["versions"] for b, record in told.items()},
        machine={b: f"{record['machine']}, {record['cores']} cores" for b, record in told.items()},
        peak_of_run=all(r["peak_of_run"] for each in told.values() for r in each["runs"].values()),
    )
