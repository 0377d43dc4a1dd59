"""``python -m kinms``: the command line."""

from kinms.cli import run

if __name__ == "__main__":
    run()
