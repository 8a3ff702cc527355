"""Engines: what trains the candidates of a study."""
