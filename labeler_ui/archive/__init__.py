"""The archive's pages: all runs in a folder, each of them, and several side by side."""
