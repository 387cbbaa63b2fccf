"""Artifacts that prove themselves: the table of stages, manifests, locks, and putting outputs in place."""
