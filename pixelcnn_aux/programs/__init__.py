"""What programs share: how they start, their flags, progress, pictures and plots."""
