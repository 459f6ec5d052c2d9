"""The tensor names of other libraries, and the network that a state dict belongs to."""
