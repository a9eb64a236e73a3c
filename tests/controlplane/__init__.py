"""The real control plane and the oracle: built by `build` in this folder, found and started from here."""
