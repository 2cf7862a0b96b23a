"""What programs share: how they start, their flags and plots, and which run they read."""
