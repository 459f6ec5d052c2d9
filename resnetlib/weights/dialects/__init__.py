"""How other libraries name the same tensors, and which network tensors belong to."""
