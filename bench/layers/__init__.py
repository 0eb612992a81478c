"""What is measured: cases, their data, and who computes them in this process."""
