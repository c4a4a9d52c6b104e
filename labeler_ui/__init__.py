"""The web page on which people label: Flask over a run's label store. Imports no torch."""
