"""The page of a comparison: verdicts, differences, losses and costs."""

import math
from pathlib import Path

import keras_optim_lab
from keras_optim_lab.comparison import comparison_figures as figures
from keras_optim_lab.comparison.differences import PER_STEP
from keras_optim_lab.comparison.findings import Findings, Times
from keras_optim_lab.comparison.processes import TITLES
from keras_optim_lab.reports.html import Page
from keras_optim_lab.reports.writing import listed
from keras_optim_lab.versions import in_a_line


def write_page(comparison: Findings, path: Path) -> Path:
    """Writes the page to `path`, whose folder is made if need be, and returns `path`."""
    titles = listed([TITLES[name] for name in comparison.backends]) or "no backend"
    page = Page(f"{comparison.plan.task.name} on {titles}")
    page.paragraph(comparison.summary, "result")
    _verdicts(page, comparison)
    _differences(page, comparison)
    _losses(page, comparison)
    _costs(page, comparison)
    _making(page, comparison)
    return page.write(path)


def difference_rows(comparison: Findings) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the differences after each step asked for, and the first one beyond."""
    header = ["optimizer", *(f"step {step}" for step in comparison.steps), "first beyond"]
    rows = []
    for label, run in comparison.runs.items():
        first = run.first_beyond
        found = [f"{run.after(s).relative:.1e}" if run.by_step else "–" for s in comparison.steps]
        rows.append([label, *found, f"step {first.step}" if first else "–"])
    return header, rows


def cost_rows(comparison: Findings, backend: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of what each run cost on one backend."""
    header = ["optimizer", "first step", "compiling", "steady step", "peak memory"]
    rows = []
    for label, run in comparison.runs.items():
        rows.append([label, *_cost(run.times[backend])])
    return header, rows


def _cost(times: Times) -> list[str]:
    memory = "–" if times.peak_memory is None else f"{times.peak_memory / 2**20:.0f} MiB"
    return [
        f"{times.first_step:.3f} s",
        "–" if math.isnan(times.compiling) else f"{times.compiling:.2f} s",
        "–" if math.isnan(times.step) else f"{1000 * times.step:.2f} ms",
        memory,
    ]


def _verdicts(page: Page, comparison: Findings) -> None:
    page.heading("Verdicts")
    page.paragraph(
        "A run agrees if the largest relative difference between any two backends stays within "
        f"{PER_STEP:.0e} times the number of steps: 1e-06 after one, 1e-04 after a hundred. The "
        "relative difference of a weight tensor is max |a − b| / max |a|, with the larger max |a| "
        "of the two backends; the largest over all trainable tensors counts. A bias that starts "
        "at zero is its first step alone, so there the step itself has to agree.",
        "note",
    )
    page.facts(list(comparison.verdicts.items()))


def _differences(page: Page, comparison: Findings) -> None:
    drawn = figures.grow(comparison)
    if not drawn:
        return
    page.heading("Largest relative difference between backends")
    page.table(*difference_rows(comparison))
    every = len(comparison.plan.recorded) == comparison.steps[-1]
    page.paragraph(
        "Compared after every step."
        if every
        else f"Compared after {len(comparison.plan.recorded)} of {comparison.steps[-1]} steps, as "
        "many as there was room for; the first step beyond may lie before the one that is named.",
        "note",
    )
    page.figures(drawn, height=290)


def _losses(page: Page, comparison: Findings) -> None:
    if not comparison.backends:
        return
    page.heading("Losses")
    page.paragraph("Of each batch, before its step.", "note")
    page.figures(figures.losses(comparison), height=270)


def _costs(page: Page, comparison: Findings) -> None:
    if not comparison.backends:
        return
    page.heading("Time and memory")
    memory = "during the run" if comparison.peak_of_run else "so far"
    page.paragraph(
        "Seconds by the clock around Keras's train_on_batch, which returns when the loss is known. "
        "The first step traces and compiles; compiling is what the first batch of each size takes "
        "beyond a steady step, the median of the others. PyTorch compiles nothing: there it is "
        "what warming up takes. Memory is the most that the backend's process held in RAM "
        f"{memory}, with Python, Keras, the data and what earlier runs have left. Other work on "
        "the machine makes all times longer.",
        "note",
    )
    for backend in comparison.backends:
        header, rows = cost_rows(comparison, backend)
        page.table([TITLES[backend], *header[1:]], rows)


def _making(page: Page, comparison: Findings) -> None:
    page.heading("How this was made")
    plan = comparison.plan
    page.paragraph(
        "Each backend ran in a process of its own, one after the other: the same initial weights, "
        "made once, the same batches and the same hyperparameters, with Keras's train_on_batch as "
        "compile() sets it up. Where two backends part, each of them took the gradient of that "
        "step's batch again, at the weights that it had and at sixteen copies of them with every "
        "weight moved by one unit in the last place. Without the weights of the step before, or "
        "where they are not finite, this is left out.",
        "note",
    )
    rows = [
        ("task", f"{plan.task!r}".strip("<>")),
        ("weights", f"{plan.tensors[-1].place.stop:,} in {len(plan.tensors)} tensors"),
        ("seed", str(plan.seed)),
    ]
    if comparison.missing:
        rows.append(("not installed", ", ".join(TITLES[name] for name in comparison.missing)))
    for backend in comparison.backends:
        made_with = in_a_line(comparison.versions[backend])
        rows.append((TITLES[backend], f"{made_with}; {comparison.machine[backend]}"))
    rows.append(("keras-optim-lab", keras_optim_lab.__version__))
    page.facts(rows)
    page.code(plan.command)
    page.facts([(m.label, _settings(m.config["config"])) for m in plan.methods])


def _settings(config: dict) -> str:
    """An optimizer's hyperparameters, without what is off."""
    return ", ".join(
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in config.items()
        if name not in _COMMON and value is not None and value is not False
    )


# What every optimizer's configuration holds and nobody chose.
_COMMON = {"name", "ema_momentum"}
