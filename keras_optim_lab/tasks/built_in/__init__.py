"""The built-in tasks: data sets, and the networks that they are known with."""
