"""`python -m resnetlib`, and `torchrun -m resnetlib`: the command line."""

from resnetlib.cli import main

if __name__ == "__main__":
    main(prog_name="resnetlib")
