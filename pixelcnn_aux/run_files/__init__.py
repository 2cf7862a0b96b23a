"""Files of runs: their folders, weights, tables and checksums, trained models by name, and the Hub."""
