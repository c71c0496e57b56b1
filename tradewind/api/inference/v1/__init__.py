"""Version 1 of the inference service's wire contract."""
