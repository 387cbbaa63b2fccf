"""Whatever scores: one registry, one protocol, and the public object that answers for one user."""
