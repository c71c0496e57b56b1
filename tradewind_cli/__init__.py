"""The `tradewind` command: training, evaluation, jobs, bundles, services and the SLO."""
