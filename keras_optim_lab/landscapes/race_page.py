"""The page of a race."""

from pathlib import Path

from keras_optim_lab.landscapes import race_figures as figures
from keras_optim_lab.landscapes.animation import narrow
from keras_optim_lab.landscapes.arrival import LEFT, NEAR
from keras_optim_lab.landscapes.standings import Standings
from keras_optim_lab.landscapes.view import View
from keras_optim_lab.reports.html import Page


def write(race: Standings, path: Path, *, shared_script: bool = False) -> Path:
    """Writes the page and returns `path`; where Plotly's script lies, see `Page.write`."""
    view = View(race)
    surface = race.surface
    page = Page(f"A race on {surface.name}")
    if surface.name != surface.formula:
        page.paragraph(f"f = {surface.formula}: {surface.note}.")
    picture = figures.graph(view) if view.flat else figures.contours(view)
    page.figure(picture, 640 if view.flat else 680, narrow=narrow(picture))
    page.table(*race.table())
    page.paragraph(_said(race), "note")
    if not view.flat:
        page.heading("In three dimensions")
        picture = figures.relief(view)
        page.figure(picture, 680, narrow=narrow(picture))
    page.heading("Settings")
    page.facts([(runner.name, repr(runner.optimizer)) for runner in race.runners])
    return page.write(path, shared_script=shared_script)


def _said(race: Standings) -> str:
    rates = "tuned to this surface" if race.tuned else "as given"
    if race.surface.minima is None:
        return f"Learning rates {rates}."
    arrived = (
        f"stays within {NEAR} of a minimum from that step on"
        if race.surface.minima
        else f"has come below {LEFT:g}, which is away from the saddle"
    )
    return f"Arrived: the method {arrived}. Learning rates {rates}."
