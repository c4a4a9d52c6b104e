"""The reward process: network, ensemble, loss, trainer, query selection, label schedule."""
