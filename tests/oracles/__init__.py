"""The methods as their papers state them, in plain NumPy float64 and without a thought for speed.

An oracle takes nothing from the package. It names its slots as the package does, so that a test
can hand it the state of an optimizer and ask for the next step. Beneath it stand the rows of the
table of expectations, `CASES`: every form of the optimizer that the generic checks try.
"""
