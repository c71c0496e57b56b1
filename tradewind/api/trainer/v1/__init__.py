"""Version 1 of the trainer service's wire contract."""
