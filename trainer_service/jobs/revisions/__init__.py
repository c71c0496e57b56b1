"""One module a revision of the job store, oldest first by name."""
