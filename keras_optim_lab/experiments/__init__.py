"""Experiments as files: a TOML file says what to run, and what it gave is kept beside it.

`ExperimentFile` (TOML, with the line of every key) → a kind (`study`, `optimizers`, `backends`,
`published`), which checks its keys → its trainings, each of them a line of `Records` → its page.
"""
