"""The shell: turns a docstring, fields, slots and one pure rule into a Keras optimizer."""
