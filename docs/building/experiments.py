"""The evidence: a page for every experiment, from its file and the lines of its results."""

import os
import shutil
from pathlib import Path

from building import records
from building.prose import page, table
from keras_optim_lab.experiments.experiment import Experiment, load


def write(folder: Path, pages: Path) -> None:
    """Writes a page for each into `folder`, and those that can be played with into `pages`."""
    names = sorted(path.stem for path in records.EXPERIMENTS.glob("*.toml"))
    os.chdir(records.EXPERIMENTS.parent)  # where commands are given
    for name in names:
        found = load(f"experiments/{name}.toml")
        text = page(
            name,
            found.keys.question,
            *_result(name, found, pages),
            "## How this was made",
            f"```\n{found.command}\n```",
            f"```toml\n{(records.EXPERIMENTS / f'{name}.toml').read_text('utf-8')}```",
        )
        (folder / f"{name}.md").write_text(text, "utf-8")
    hidden = "\n".join(names)
    index = (records.EXPERIMENTS / "README.md").read_text("utf-8")
    index = index.replace("](../", "](../../../").replace("](../../../docs/", "](../../")
    (folder / "index.md").write_text(f"{index}\n```{{toctree}}\n:hidden:\n{hidden}\n```\n", "utf-8")


def _result(name: str, found: Experiment, pages: Path) -> list[str]:
    if document := getattr(found.keys, "document", ""):
        return [f"[All that it has found](../../{Path(document).name})."]
    if found.studies():
        # A study is not kept with its results, and to make its page anew is to search again.
        rows = [
            [method, records.spread(runs), str(len(runs))]
            for method, (_, runs) in records.trained(name).items()
        ]
        header = ["", "loss on the test split", "seeds"]
        return [table(header, rows), "Mean ± standard deviation, after the last epoch."]
    if missing := [part.what for part in found.parts() if part.missing]:
        raise RuntimeError(f"Train first what is missing of {name}: {', '.join(missing)}")
    written = found.run()
    pages.mkdir(parents=True, exist_ok=True)
    for path in (written, *written.parent.glob("*.js")):
        shutil.copy(path, pages)
    link = f"../../experiments/{written.name}"
    raw = f'```{{raw}} html\n<p><a href="{link}">All tables and figures</a></p>\n```'
    return [f"**{found.verdict()}**", raw]
