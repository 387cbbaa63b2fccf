"""Hyperparameter search of encoders and gbdt on valid: `space` has the ranges, `study` runs the trials."""
