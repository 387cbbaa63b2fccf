"""The `thinkrec` commands, one file per command; installed as the package `thinkrec_cli`."""
