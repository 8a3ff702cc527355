"""Functions to be seen: test surfaces, formulas, step-by-step traces, and races of methods."""
