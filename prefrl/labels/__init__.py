"""The label store and those who answer: the oracle, and later people."""
