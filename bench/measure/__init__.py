"""How things are timed: rounds, processes, places, and the limits of the machine."""
