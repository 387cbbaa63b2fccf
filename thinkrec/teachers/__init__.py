"""Keyword extractors and reasoning teachers behind two small protocols, independent of the student."""
