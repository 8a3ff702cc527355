import gc

# Modules and collected tests are there to stay: looking among them for garbage takes seconds.
gc.disable()
