"""How far the optimizers are from others, on record for users: `optimizers/agreement.json`."""

import json
import math
import os

from keras_optim_lab.optimizer_page import AGREEMENT

WRITES = bool(os.environ.get("WRITE_AGREEMENT"))

_SAME = 1e-9  # of the way; what is nearer is rounding, and another one on every machine
_DECADE = 10.0
_FLOAT32 = 2e-7  # its last digits differ from backend to backend, and the record is of PyTorch


class Agreement:
    """Compares with the record what tests measure, or writes a new one."""

    def __init__(self):
        self._known = json.loads(AGREEMENT.read_text("utf-8")) if AGREEMENT.exists() else {}
        self._measured: dict[str, dict[str, float]] = {}

    def __call__(self, name: str, other: str, error: float) -> None:
        """Takes down how far an optimizer is from another, as a share of the way."""
        found = self._measured.setdefault(name, {})
        found[other] = max(found.get(other, _SAME), float(error))
        if WRITES:
            return
        known = self._known.get(name, {}).get(other)
        assert known is not None, f"{name} and {other}: run scripts/test --write-agreement"
        bound = _DECADE * max(known, _FLOAT32)
        assert error <= bound, f"{name} was {known:g} from {other} and is {error:.2g}"

    def write(self) -> None:
        measured = {
            name: {other: _one_digit(error) for other, error in sorted(found.items())}
            for name, found in self._measured.items()
        }
        record = dict(sorted({**self._known, **measured}.items()))
        AGREEMENT.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _one_digit(error: float) -> float:
    """Rounded up."""
    unit = 10.0 ** math.floor(math.log10(error))
    return float(f"{math.ceil(error / unit) * unit:.0e}")
