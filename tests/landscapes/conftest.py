from tests.browsers import browser

__all__ = ["browser"]
