"""Groups of users, and the gate that chooses among their experts."""
