"""Systems that need no language model and no vectors: what every other system has to beat."""
