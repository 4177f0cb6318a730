"""Search strategies: who to try next. One file a family; everything here asks and can be told."""
