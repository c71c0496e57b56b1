"""Version 1 of the risk service's wire contract."""
