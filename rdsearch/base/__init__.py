"""What every room stands on: files, names, units, settings, compiled loops, and a network's inputs and outputs."""
