"""``python -m adamax_conformance``: the command ``adamax-conformance``."""

from adamax_conformance_cli import main

if __name__ == "__main__":
    main()
