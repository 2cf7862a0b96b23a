"""Runs on disk: their folders, files and locks, trained models, and the Hugging Face Hub."""
