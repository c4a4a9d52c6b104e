"""What is done with a run: evaluation, plots, videos."""
