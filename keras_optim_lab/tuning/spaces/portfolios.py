"""Portfolios: settings of an optimizer that did well on other tasks, in the order to try them.

`portfolios.toml` holds a table for each optimizer, and under `made` how it came about.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.optimizers.catalogue import name_of
from keras_optim_lab.tuning.spaces.template import Template

FILE = Path(__file__).with_name("portfolios.toml")


def portfolio(template: Template) -> list[dict[str, Any]]:
    """Settings by the names of the optimizer's arguments; none where none are known.

    Those of an optimizer made of others are those of its main member, which has the same names.
    """
    name = template.name if template.given is None else name_of(_main(template.given))
    return [dict(each) for each in _tables().get(name, {}).get("settings", [])]


def _main(optimizer: Optimizer) -> Optimizer:
    members = getattr(optimizer, "members", {})
    return _main(members[optimizer.main]) if members else optimizer


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
