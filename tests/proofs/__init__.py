"""Four kinds of density model that the library does not have yet, each on the public base alone."""
