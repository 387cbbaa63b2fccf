"""Proofs on finished artifacts that they do not know the future (guarantee 1); one module an artifact."""
