"""Images in memory and the one loop that trains a plain network on them."""
