"""Keyword extractors and reasoning teachers behind two small protocols. Knows nothing of the student."""
