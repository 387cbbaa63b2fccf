"""Audit: proofs that artifacts do not use the future (guarantee 1); one module per kind of artifact."""
