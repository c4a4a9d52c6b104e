"""The policy process: environments, SB3 model, clip recorder, reward substitution, checkpoints."""
