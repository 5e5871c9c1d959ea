"""POST mega-mind."""
