"""Maps: the objective over two hyperparameters."""
