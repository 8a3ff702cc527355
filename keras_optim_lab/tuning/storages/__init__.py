"""Where studies live, and what keeps them whole."""
