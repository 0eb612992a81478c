"""Timing: rounds, processes, CPUs, and the limits of the machine."""
