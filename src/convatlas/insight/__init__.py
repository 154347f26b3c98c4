"""Looking inside: what a network is shown, and later what it makes of it."""
