"""Statistics of cells that answered the same items: how far apart, how sure, how small a
difference could have been seen, when to stop, and what to take."""
