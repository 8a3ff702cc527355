"""What scripts/check-wheel asks of a wheel: its contents, its oldest requirements, and its use.

python scripts/check_wheel.py contents FILE [FILE...]
python scripts/check_wheel.py lowest WHEEL      # as constraints for pip
python scripts/check_wheel.py use               # where the wheel is installed
"""

import re
import sys
import tarfile
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

MOST = 1_000_000  # bytes
FRAMEWORKS = ("tensorflow", "jax", "torch")


def contents(path: Path) -> None:
    """Raises where a distribution holds more than the package, or is too large."""
    if path.suffix == ".whl":
        names = zipfile.ZipFile(path).namelist()
        strangers = [n for n in names if not n.startswith("keras_optim_lab")]
    else:
        with tarfile.open(path) as archive:
            names = [name.partition("/")[2] for name in archive.getnames()]
        strangers = [n for n in names if n.startswith(("tests", "docs", "experiments", "studies"))]
    size = path.stat().st_size
    print(f"{path.name}: {len(names)} files, {size / 1000:.0f} kB")
    assert not strangers, strangers
    assert "keras_optim_lab/py.typed" in names
    assert size < MOST, f"{size} bytes"


def lowest(wheel: Path) -> None:
    """Prints the oldest release of each requirement that the wheel allows."""
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    text = archive.read(metadata).decode()
    extras = r"(?:; extra == .(?:jax|tensorflow|torch|tune).)?"
    needed = rf"^Requires-Dist: ([\w.-]+)\S*?>=([\w.]+)\S*?{extras}$"
    for name, oldest in sorted(set(re.findall(needed, text, re.MULTILINE))):
        print(f"{name}=={oldest}")


def use() -> None:
    """Trains, saves, loads, goes on and tunes, on the one backend that is there."""
    import keras
    import numpy as np

    backend = keras.backend.backend()
    there = [name for name in FRAMEWORKS if find_spec(name)]
    assert there == [backend], there

    import keras_optim_lab as kol

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((64, 4)).astype("float32")
    y = x.sum(1, keepdims=True)

    def build():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])

    model = build()
    model.compile(optimizer=kol.RAdam(1e-2), loss="mse")
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0], losses
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
        ways = [each.fit(x, y, epochs=1, shuffle=False, verbose=0) for each in (model, loaded)]
        np.testing.assert_allclose(*(way.history["loss"] for way in ways), rtol=1e-5)
        task = kol.Task(model=build, train=(x, y), validation=(x, y), loss="mse", epochs=2)
        result = kol.tune(task, trials=5, folds=None, confirm=1, storage=Path(folder) / "s.journal")
        assert len(result.finished_trials) == 5
        assert result.report(Path(folder) / "report.html", seeds=1).is_file()
        python = ".".join(map(str, sys.version_info[:3]))
        print(f"Python {python}, keras {keras.__version__}, {backend}: {result.verdict}")


if __name__ == "__main__":
    what, *files = sys.argv[1:]
    for file in files:
        {"contents": contents, "lowest": lowest}[what](Path(file))
    if what == "use":
        use()
