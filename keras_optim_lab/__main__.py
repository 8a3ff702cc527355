"""`python -m keras_optim_lab` is the command `keras-optim-lab`."""

from keras_optim_lab.cli import main

if __name__ == "__main__":
    main()
