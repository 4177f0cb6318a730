"""One file per search space: its variables, what is legal, its published text form, and how to draw it."""
