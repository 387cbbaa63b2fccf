"""A trained system for others: over HTTP, and as tools of assistants."""
