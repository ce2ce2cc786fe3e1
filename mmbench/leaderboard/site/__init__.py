"""The boards as a static site: `build` writes it, each other file makes one kind of page."""
