"""Artifacts: manifests, checks before use, locks, and atomic output of stages."""
