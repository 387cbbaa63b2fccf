"""What is wrong with this installation, machine and project, and what to do about it."""
