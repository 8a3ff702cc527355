"""Which of many settings to try first: those that together leave the least to be gained.

Every task says of every setting how much of what can be gained it leaves, its regret. A list is
put together greedily: next comes the setting after which the best of the list leaves least, in the
mean over tasks. A training half as long is one more task: what learns fast is worth trying, too.
What a list is worth is asked of a task that it was not made from.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FIRST = (1, 3, 5, 20)  # so many of a list its worth is told for
_DRAWS = 1000
_NOTHING = 1e-9


def regrets(losses: NDArray) -> NDArray:
    """Of losses [task, setting], (loss − best) / (median − best), cut at 1.

    A setting that has diverged has regret 1, and for the median the largest loss of those that
    have not.
    """
    lost = ~np.isfinite(losses)
    worst = [max(row[~gone], default=0.0) for row, gone in zip(losses, lost, strict=True)]
    finite = np.where(lost, np.array(worst)[:, None], losses)
    best = finite.min(axis=1, keepdims=True)
    gained = np.median(finite, axis=1, keepdims=True) - best
    share = np.divide(finite - best, gained, where=gained > 0, out=np.ones_like(finite))
    share[(finite <= best) & ~lost] = 0.0
    return np.where(lost, 1.0, np.clip(share, 0.0, 1.0))


def greedy(regret: NDArray, count: int, known: Sequence[int] = ()) -> list[int]:
    """The list of a table of regrets [task, setting].

    Once no setting gains anything for any task beyond those of the list, the same is asked again
    of what is left, as if the list were empty: a second best for every task, and so on.

    Args:
        regret: as `regrets` returns it.
        count: how many settings are wanted; there are no more than the table has.
        known: settings that are tried in any case, before the list.
    """
    before = np.min(regret[:, [*known]], axis=1, initial=1.0)
    covered, alone = before, regret.mean(axis=0)
    left = [i for i in range(regret.shape[1]) if i not in {*known}]
    found: list[int] = []
    fresh = True
    while left and len(found) < count:
        after = np.minimum(covered[:, None], regret[:, left]).mean(axis=0)
        # Of those that gain as much the one that is best in the mean.
        next_ = min(range(len(left)), key=lambda i: (after[i], alone[left[i]]))
        if not fresh and covered.mean() - after[next_] < _NOTHING:
            covered, fresh = before, True
            continue
        fresh = False
        found.append(left.pop(next_))
        covered = np.minimum(covered, regret[:, found[-1]])
    return found


def of_task(losses: NDArray) -> NDArray:
    """Regrets [length, setting] of losses [setting, epoch]: after half of the epochs, and all."""
    epochs = losses.shape[-1]
    return regrets(losses[:, [epochs // 2 - 1, epochs - 1]].T)


def left_out(regret: NDArray, known: Sequence[int] = ()) -> dict[str, NDArray]:
    """What a list leaves on each task, made from all the others.

    Args:
        regret: [task, length, setting]; a list is made of all lengths and judged by the last one.
        known: as for `greedy`.

    Returns:
        "list" and "random", each [task, len(FIRST)]: the regret of the best among `known` and the
        first of the list, or as many of the other settings drawn at random, in the mean over draws.
    """
    tasks, _, settings = regret.shape
    free = [i for i in range(settings) if i not in {*known}]
    first = [min(count, len(free)) for count in FIRST]
    random = np.random.default_rng(0)
    drawn = np.array([random.permutation(free)[: first[-1]] for _ in range(_DRAWS)])
    found: dict[str, list] = {"list": [], "random": []}
    for task in range(tasks):
        own, others = regret[task, -1], np.delete(regret, task, axis=0)
        start = min((own[i] for i in known), default=1.0)
        chosen = greedy(others.reshape(-1, settings), first[-1], known)
        best = np.minimum.accumulate(np.minimum(start, own[chosen]))
        best_drawn = np.minimum.accumulate(np.minimum(start, own[drawn]), axis=1).mean(axis=0)
        found["list"].append([best[count - 1] for count in first])
        found["random"].append([best_drawn[count - 1] for count in first])
    return {name: np.array(rows) for name, rows in found.items()}
