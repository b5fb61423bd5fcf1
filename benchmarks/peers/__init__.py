"""What regard is measured beside, each with the settings which suit it best."""
