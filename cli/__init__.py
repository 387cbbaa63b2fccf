"""The `thinkrec` commands, one file a command; installed as the package `thinkrec_cli`."""
