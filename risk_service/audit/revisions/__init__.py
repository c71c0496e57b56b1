"""One module a revision of the audit database, oldest first by name."""
