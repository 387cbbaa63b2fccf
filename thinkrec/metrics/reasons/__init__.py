"""Metrics of generated reasons: likeness to a reference, and by rule what likeness can't see."""
