"""RecThinker: an agent that finds out what it lacks by tools, then ranks."""
