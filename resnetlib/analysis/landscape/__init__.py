"""The loss around a network: surfaces along filter-normalized directions, training paths and Hessian eigenvalues."""
