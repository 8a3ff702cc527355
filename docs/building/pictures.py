"""Races drawn for the gallery: a picture is drawn again only when what it shows has changed."""

import inspect
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import keras_optim_lab as kol
from building import records

PAIR = ("rosenbrock", "himmelblau")  # that every optimizer is seen on
FOUR = ("gradient_descent", "momentum", "rmsprop", "adam")
_DRAWING = Path(kol.__file__).parent / "landscapes" / "pictures.py"


def optimizer(name: str, surface: str) -> kol.optimizers.Optimizer:
    """An optimizer with the learning rate that was found for it on the surface."""
    rate = records.races()[name][surface]["rate"]
    return kol.optimizers.entry(name).cls(**({} if rate is None else {"learning_rate": rate}))


def steps(name: str, surface: str) -> int:
    """Some more than it needs to arrive."""
    arrived = records.races()[name][surface]["arrived"]
    return 300 if arrived is None else max(30, min(600, round(1.2 * arrived)))


def drawn(
    folder: Path, name: str, surface: str, entered: Mapping[str, kol.optimizers.Optimizer], n: int
) -> str:
    """The name of the picture in `folder`, drawn if it is not there."""
    sources = [inspect.getsource(type(each)) for each in entered.values()]
    shown = f"{kol.surfaces.get(surface)} {entered} {n} {sources} {_DRAWING.read_text('utf-8')}"
    path = folder / f"{name}-{surface}-{sha256(shown.encode()).hexdigest()[:10]}.png"
    if not path.exists():
        for old in folder.glob(f"{name}-{surface}-*.png"):
            old.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        kol.race(surface, entered, steps=n).picture(path)
    return path.name
