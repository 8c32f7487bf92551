"""One attempt at one endpoint: two transports behind one narrow protocol. It classifies what went wrong, no more."""
