"""What it costs. Ratios taken side by side in one run, medians; never asserted in a test."""
