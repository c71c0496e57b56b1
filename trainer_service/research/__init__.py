"""Many trainings judged together: walk-forward evaluation, hyper-parameter search."""
