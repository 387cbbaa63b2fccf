"""Groups of users, and the gate that selects among their experts."""
