"""One module a calculator: its settings, its formula with its source, and its compiled kernel."""
