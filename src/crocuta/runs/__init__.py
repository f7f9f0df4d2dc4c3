"""What every run is, written once: its folder, its loop, its progress, its cost, and how it ends."""
