"""Plain references of our networks, written out step by step, and the mistakes that a comparison must notice."""
