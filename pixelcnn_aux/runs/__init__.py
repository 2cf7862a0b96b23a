"""Runs on disk: folders, files and locks; trained models; and the Hugging Face Hub."""
