"""The layers that are measured: cases, their data, and the contenders of this process."""
