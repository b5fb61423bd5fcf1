"""`python -m regard`, for launchers which start modules."""

from regard.cli.__main__ import main

if __name__ == "__main__":
    main()
