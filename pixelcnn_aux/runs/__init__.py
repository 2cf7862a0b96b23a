"""What a run leaves on disk, and how its model is loaded."""
