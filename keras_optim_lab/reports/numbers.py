"""Numbers as a reader wants them."""


def number(value: object) -> str:
    """Four digits that tell numbers near 1 apart as well as those near 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:.4g}" if not 0.9 < value < 1 else f"{1 - float(f'{1 - value:.4g}'):.12g}"
