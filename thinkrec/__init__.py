"""thinkrec: a language model that ranks items and says why."""

__version__ = "0.1.0"
